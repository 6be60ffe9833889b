//! **Technique**: batching: one statement for all products of the page, whose rows are then grouped by product.
//! **Cost**: one statement and round trip for any page size; the rows are the same.
//! **Fails when**: a page's details don't fit in memory at once; the page's limit prevents that.
//! **Source**: <https://www.postgresql.org/docs/current/functions-comparisons.html>, `= any(array)`.

use std::collections::HashMap;

use sqlx::types::Json;
use uuid::Uuid;

use super::{Details, ImageRow, Include, ProductKey, VariantRow, image, variant};
use crate::database::InstrumentedConnection;

/// Loads the details of all products at once.
#[derive(Debug, Clone, Copy)]
pub struct Batched;

impl Batched {
    pub(super) async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        products: &[ProductKey],
        include: Include,
        most: i64,
    ) -> Result<Vec<Details>, sqlx::Error> {
        let ids: Vec<Uuid> = products.iter().map(|product| product.id).collect();
        let (variants, images) = match include {
            Include {
                variants: true,
                images: true,
            } => both(connection, &ids, most).await?,
            Include {
                variants: true,
                images: false,
            } => (variants(connection, &ids, most).await?, Vec::new()),
            Include { variants: false, .. } => (Vec::new(), images(connection, &ids, most).await?),
        };
        let positions: HashMap<Uuid, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let empty = || Details {
            variants: include.variants.then(Vec::new),
            images: include.images.then(Vec::new),
        };
        let mut all: Vec<Details> = products.iter().map(|_| empty()).collect();
        for row in variants {
            let at = positions[&row.product_id];
            all[at]
                .variants
                .get_or_insert_default()
                .push(variant(row, products[at].currency));
        }
        for row in images {
            all[positions[&row.product_id]]
                .images
                .get_or_insert_default()
                .push(image(row));
        }
        Ok(all)
    }
}

async fn variants(
    connection: &mut InstrumentedConnection<'_>,
    ids: &[Uuid],
    most: i64,
) -> Result<Vec<VariantRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        VariantRow,
        r#"select v.product_id, v.sku, v.title, v.options as "options: _", v.price_cents, v.compare_at_cents,
                  v.stock_quantity
           from unnest($1::uuid[]) product (id)
           cross join lateral (
               select * from variants where product_id = product.id order by position, id limit $2
           ) v
           order by v.position, v.id"#,
        ids,
        most
    );
    rows.fetch_all(connection).await
}

async fn images(
    connection: &mut InstrumentedConnection<'_>,
    ids: &[Uuid],
    most: i64,
) -> Result<Vec<ImageRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ImageRow,
        "select i.product_id, i.url, i.alt
         from unnest($1::uuid[]) product (id)
         cross join lateral (
             select * from images where product_id = product.id order by position, id limit $2
         ) i
         order by i.position, i.id",
        ids,
        most
    );
    rows.fetch_all(connection).await
}

/// Variants and images in one round trip. Only a variant's row has a `sku`.
async fn both(
    connection: &mut InstrumentedConnection<'_>,
    ids: &[Uuid],
    most: i64,
) -> Result<(Vec<VariantRow>, Vec<ImageRow>), sqlx::Error> {
    let rows = sqlx::query!(
        r#"select v.product_id as "product_id!", v.position as "position!", v.id as "id!", v.sku as "sku?",
                  v.title as "title?", v.options as "options?: Json<Box<serde_json::value::RawValue>>",
                  v.price_cents as "price_cents?", v.compare_at_cents, v.stock_quantity as "stock_quantity?",
                  null::text as url, null::text as alt
           from unnest($1::uuid[]) product (id)
           cross join lateral (
               select * from variants where product_id = product.id order by position, id limit $2
           ) v
           union all
           select i.product_id, i.position, i.id, null, null, null, null, null, null, i.url, i.alt
           from unnest($1::uuid[]) product (id)
           cross join lateral (
               select * from images where product_id = product.id order by position, id limit $2
           ) i
           order by 2, 3"#,
        ids,
        most
    );
    let (mut variants, mut images) = (Vec::new(), Vec::new());
    for row in rows.fetch_all(connection).await? {
        let product_id = row.product_id;
        if let (Some(sku), Some(title), Some(options), Some(price_cents), Some(stock_quantity)) = (
            row.sku,
            row.title,
            row.options,
            row.price_cents,
            row.stock_quantity,
        ) {
            let compare_at_cents = row.compare_at_cents;
            variants.push(VariantRow {
                product_id,
                sku,
                title,
                options,
                price_cents,
                compare_at_cents,
                stock_quantity,
            });
        } else if let (Some(url), Some(alt)) = (row.url, row.alt) {
            images.push(ImageRow { product_id, url, alt });
        }
    }
    Ok((variants, images))
}
