//! Fills the search documents: the dearest part of a catalogue, some hundred microseconds a product.
//!
//! Two further connections turn the generated texts into documents with the schema's own function, and the one that
//! loads stores what they return. `insert … select` would compute on one core only, and check its foreign key row by
//! row.

use std::sync::Arc;

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::mpsc;

use super::connect;
use crate::generate::catalogue::Catalogue;
use crate::generate::copy_format::{HEADER, Rows, TRAILER};
use crate::generate::progress::Stage;
use crate::generate::tables::products::{Product, Texts};

/// How many connections compute.
const COMPUTING: u64 = 2;

/// Products a query.
const CHUNK: u64 = 250;

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

/// Computes every second chunk, beginning with the one numbered `part`.
async fn compute(
    mut connection: PgConnection,
    catalogue: Arc<Catalogue>,
    part: u64,
    sender: mpsc::Sender<Rows>,
) -> Result<()> {
    let products = catalogue.scale.products();
    for chunk in (part..products.div_ceil(CHUNK)).step_by(COMPUTING as usize) {
        let (mut ids, mut titles, mut descriptions) = (Vec::new(), Vec::new(), Vec::new());
        for index in chunk * CHUNK..((chunk + 1) * CHUNK).min(products) {
            let product = Product::at(&catalogue, index);
            descriptions.push(Texts::of(&catalogue, &product).description);
            ids.push(product.id);
            titles.push(product.title);
        }
        let documents = sqlx::query(
            "select product_search_document(title, description) from unnest($1::text[], $2::text[]) as t (title, description)",
        )
        .bind(titles)
        .bind(descriptions)
        .fetch_all(&mut connection)
        .await?;
        let mut rows = Rows::with_capacity(documents.len() * 1_600);
        for (id, document) in ids.into_iter().zip(&documents) {
            // A prepared statement answers in the binary format, which is also that of `copy`.
            let document = document.try_get_raw(0)?;
            rows.row(2)
                .uuid(id)
                .binary(document.as_bytes().map_err(anyhow::Error::from_boxed)?);
        }
        if sender.send(rows).await.is_err() {
            break; // The load has failed, and says why.
        }
    }
    connection.close().await?;
    Ok(())
}
