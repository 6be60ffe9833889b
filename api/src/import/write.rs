//! Writes parsed products in batches: a few statements for hundreds of products, instead of one per row.
//!
//! Triggers of the schema maintain derived columns and search documents.

use std::collections::{HashMap, HashSet};

use shop::money::Currency;
use sqlx::PgConnection;
use uuid::Uuid;

use super::error::ImportError;
use super::product::Product;
use super::report::ImportReport;
use super::taxonomy::Taxonomy;

/// Products per statement: enough to make round trips rare, few enough to bound its parameters.
pub(super) const PRODUCTS_AT_ONCE: usize = 500;

/// Creates or updates the products, with exactly the file's variants and images.
pub(super) async fn write_products(
    connection: &mut PgConnection,
    products: &[Product],
    taxonomy: &Taxonomy,
    currency: Currency,
    report: &mut ImportReport,
) -> Result<(), ImportError> {
    let written = upsert_products(connection, products, taxonomy, currency).await?;
    let updated: Vec<Uuid> = written
        .values()
        .filter(|product| !product.created)
        .map(|p| p.id)
        .collect();
    let with_ids: Vec<(Uuid, &Product)> = products
        .iter()
        .map(|product| (written[&product.handle].id, product))
        .collect();
    if !updated.is_empty() {
        delete_what_the_file_lacks(connection, &updated, products).await?;
    }
    report.variants += upsert_variants(connection, &with_ids).await?;
    report.images += insert_images(connection, &with_ids).await?;
    report.products_updated += updated.len() as u64;
    report.products_created += (products.len() - updated.len()) as u64;
    Ok(())
}

struct Written {
    id: Uuid,
    created: bool,
}

/// Returns the written products by slug.
async fn upsert_products(
    connection: &mut PgConnection,
    products: &[Product],
    taxonomy: &Taxonomy,
    currency: Currency,
) -> Result<HashMap<String, Written>, sqlx::Error> {
    let ids: Vec<Uuid> = products.iter().map(|_| Uuid::now_v7()).collect();
    let (brands, categories): (Vec<_>, Vec<_>) = products.iter().map(|p| taxonomy.ids(p)).unzip();
    let rows = sqlx::query!(
        r#"
        insert into products
            (id, brand_id, category_id, active, slug, title, description, attributes, currency)
        select new.*, $9
        from unnest(
            $1::uuid[], $2::uuid[], $3::uuid[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::jsonb[]
        ) as new
        on conflict on constraint products_slug_key do update
        set brand_id = excluded.brand_id,
            category_id = excluded.category_id,
            active = excluded.active,
            title = excluded.title,
            description = excluded.description,
            attributes = excluded.attributes,
            currency = excluded.currency,
            updated_at = now()
        returning id, slug
        "#,
        &ids,
        &brands,
        &categories,
        &products.iter().map(|p| p.active).collect::<Vec<_>>(),
        &products.iter().map(|p| p.handle.as_str()).collect::<Vec<_>>() as &[&str],
        &products.iter().map(|p| p.title.as_str()).collect::<Vec<_>>() as &[&str],
        &products
            .iter()
            .map(|p| p.description.as_str())
            .collect::<Vec<_>>() as &[&str],
        &products.iter().map(|p| p.attributes.clone()).collect::<Vec<_>>(),
        currency.as_str(),
    )
    .fetch_all(connection)
    .await?;
    // An existing product keeps its id.
    let new_ids: HashSet<Uuid> = ids.into_iter().collect();
    let written = rows.into_iter().map(|row| {
        let created = new_ids.contains(&row.id);
        (row.slug, Written { id: row.id, created })
    });
    Ok(written.collect())
}

/// Deletes variants whose SKU isn't in the file, and all images, which have no key to be matched by.
async fn delete_what_the_file_lacks(
    connection: &mut PgConnection,
    updated: &[Uuid],
    products: &[Product],
) -> Result<(), sqlx::Error> {
    let kept: Vec<&str> = products
        .iter()
        .flat_map(|p| &p.variants)
        .map(|v| v.sku.as_str())
        .collect();
    sqlx::query!(
        "delete from variants where product_id = any($1) and sku <> all($2)",
        updated,
        &kept as &[&str],
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from images where product_id = any($1)", updated)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the number of rows.
async fn upsert_variants(
    connection: &mut PgConnection,
    products: &[(Uuid, &Product)],
) -> Result<u64, ImportError> {
    let rows: Vec<_> = products
        .iter()
        .flat_map(|(id, product)| {
            (0_i16..)
                .zip(&product.variants)
                .map(|(position, v)| (*id, position, v))
        })
        .collect();
    let written = sqlx::query!(
        r#"
        insert into variants
            (id, product_id, price_cents, compare_at_cents, stock_quantity, position, sku, title, options)
        select * from unnest(
            $1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::integer[], $6::smallint[], $7::text[],
            $8::text[], $9::jsonb[]
        )
        on conflict on constraint variants_sku_key do update
        set price_cents = excluded.price_cents,
            compare_at_cents = excluded.compare_at_cents,
            stock_quantity = excluded.stock_quantity,
            position = excluded.position,
            title = excluded.title,
            options = excluded.options
        where variants.product_id = excluded.product_id
        "#,
        &rows.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        &rows
            .iter()
            .map(|(product_id, _, _)| *product_id)
            .collect::<Vec<_>>(),
        &rows.iter().map(|(_, _, v)| v.price_cents).collect::<Vec<_>>(),
        &rows
            .iter()
            .map(|(_, _, v)| v.compare_at_cents)
            .collect::<Vec<_>>() as &[Option<i64>],
        &rows.iter().map(|(_, _, v)| v.stock_quantity).collect::<Vec<_>>(),
        &rows.iter().map(|(_, position, _)| *position).collect::<Vec<_>>(),
        &rows.iter().map(|(_, _, v)| v.sku.as_str()).collect::<Vec<_>>() as &[&str],
        &rows.iter().map(|(_, _, v)| v.title.as_str()).collect::<Vec<_>>() as &[&str],
        &rows.iter().map(|(_, _, v)| v.options.clone()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?
    .rows_affected();
    // The SKUs' owners were checked before, so a concurrent writer took one since.
    if written == rows.len() as u64 {
        Ok(written)
    } else {
        Err(ImportError::ChangedMeanwhile)
    }
}

/// Returns the number of rows.
async fn insert_images(
    connection: &mut PgConnection,
    products: &[(Uuid, &Product)],
) -> Result<u64, sqlx::Error> {
    let rows: Vec<_> = products
        .iter()
        .flat_map(|(id, product)| {
            (0_i16..)
                .zip(&product.images)
                .map(|(position, image)| (*id, position, image))
        })
        .collect();
    sqlx::query!(
        r#"
        insert into images (id, product_id, position, url, alt)
        select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[])
        "#,
        &rows.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        &rows
            .iter()
            .map(|(product_id, _, _)| *product_id)
            .collect::<Vec<_>>(),
        &rows.iter().map(|(_, position, _)| *position).collect::<Vec<_>>(),
        &rows
            .iter()
            .map(|(_, _, image)| image.url.as_str())
            .collect::<Vec<_>>() as &[&str],
        &rows
            .iter()
            .map(|(_, _, image)| image.alt.as_str())
            .collect::<Vec<_>>() as &[&str],
    )
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}
