//! Fills the search documents, which would be the dearest part of a catalogue: the schema's function takes some hundred
//! microseconds a product.
//!
//! Generated texts repeat their words. So what Postgres makes of a word is asked once (`words.rs`), and documents are put
//! together from that, on two cores. Now and then one is compared with what the schema's function says.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;

use super::connect;
use super::words::{Words, document_of_schema};
use crate::copy_format::{HEADER, Rows, TRAILER};
use crate::progress::Stage;
use crate::tables::catalogue::Catalogue;
use crate::tables::products::{Product, Texts};

/// How many tasks put documents together. Each has a connection, to ask for what it doesn't know.
const COMPUTING: u64 = 2;

/// Products that are worked on at once.
const CHUNK: u64 = 250;

/// Of so many chunks the first document is compared with the schema's own.
const COMPARED: u64 = 8;

/// Stores the search documents of all products. Its table is empty and belongs to the transaction.
pub async fn fill(
    database_url: &str,
    transaction: &mut PgConnection,
    catalogue: &Arc<Catalogue>,
    stage: &Stage,
) -> Result<()> {
    let mut computing = Vec::new();
    for part in 0..COMPUTING {
        let connection = connect(database_url).await?;
        let (sender, receiver) = mpsc::channel(2);
        computing.push((
            receiver,
            tokio::spawn(compute(connection, Arc::clone(catalogue), part, sender)),
        ));
    }
    let mut copy = transaction
        .copy_in_raw(
            "copy product_search (product_id, document) from stdin with (format binary, freeze true)",
        )
        .await?;
    copy.send(HEADER).await?;
    // In turn, so that documents lie in the order of their products.
    'rows: loop {
        for (receiver, _) in &mut computing {
            let Some(rows) = receiver.recv().await else {
                break 'rows;
            };
            copy.send(rows.bytes()).await?;
            stage.advance(rows.count());
        }
    }
    for (receiver, task) in computing {
        drop(receiver);
        task.await?.context("while computing search documents")?;
    }
    copy.send(TRAILER).await?;
    let stored = copy.finish().await?;
    let products = catalogue.scale.products();
    anyhow::ensure!(
        stored == products,
        "the database stored {stored} of {products} search documents"
    );
    Ok(())
}

/// Stores what searches read, from the products and their documents.
pub async fn fill_rows(transaction: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql(
        "insert into search_rows
             (product_id, created_at, price_cents, price_band, sales_count, sales_band, rating_hundredths, in_stock,
              active, title, document)
         select p.id, p.created_at, p.price_cents, price_band(p.price_cents), p.sales_count, sales_band(p.sales_count),
                p.rating_hundredths, p.in_stock, p.active, p.title,
                search_row_document(s.document, p.brand_id, c.path, p.in_stock)
         from products p
         join product_search s on s.product_id = p.id
         join (select id, category_path(id) as path from categories) c on c.id = p.category_id
         order by p.id;
         insert into search_words
         select distinct word from products p, comparable_words(p.title) word order by word",
    )
    .execute(transaction)
    .await
    .context("while filling what searches read")?;
    Ok(())
}

/// Computes every second chunk, beginning with the one numbered `part`.
async fn compute(
    mut connection: PgConnection,
    catalogue: Arc<Catalogue>,
    part: u64,
    sender: mpsc::Sender<Rows>,
) -> Result<()> {
    let mut words = Words::default();
    let products = catalogue.scale.products();
    for chunk in (part..products.div_ceil(CHUNK)).step_by(COMPUTING as usize) {
        let texts: Vec<_> = (chunk * CHUNK..((chunk + 1) * CHUNK).min(products))
            .map(|index| {
                let product = Product::at(&catalogue, index);
                let description = Texts::of(&catalogue, &product).description;
                (product.id, product.title, description)
            })
            .collect();
        let all = texts
            .iter()
            .flat_map(|(_, title, description)| [title.as_str(), description.as_str()]);
        words.learn(&mut connection, all).await?;
        let mut rows = Rows::with_capacity(texts.len() * 1_600);
        for (at, (id, title, description)) in texts.iter().enumerate() {
            let document = words.document(title, description)?;
            if at == 0 && (chunk / COMPUTING).is_multiple_of(COMPARED) {
                let of_schema = document_of_schema(&mut connection, title, description).await?;
                ensure!(
                    document == of_schema,
                    "the words of `{title}` have another search document than `product_search_document` gives the whole text"
                );
            }
            rows.row(2).uuid(*id).binary(&document);
        }
        if sender.send(rows).await.is_err() {
            break; // The load has failed, and says why.
        }
    }
    connection.close().await?;
    Ok(())
}
