//! A shop with its own database, for one test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use api::import::{self, ImportError, ImportOptions, ImportReport};
use serde_json::Value;
use shop::money::Currency;
use sqlx::postgres::{PgPool, PgPoolOptions};

pub use crate::support::database::execute;
use crate::support::database::{Content, Database};

pub struct Shop {
    pub pool: PgPool,
    database: Database,
}

/// The options of most tests.
pub const LENIENT: ImportOptions = ImportOptions {
    currency: Currency::EUR,
    strict: false,
};
pub const STRICT: ImportOptions = ImportOptions {
    currency: Currency::EUR,
    strict: true,
};

impl Shop {
    pub async fn open() -> Self {
        let database = Database::new(Content::Schema).await;
        let options = database.options.clone();
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .unwrap();
        Self { pool, database }
    }

    /// Imports `csv` with [`LENIENT`] options, and expects success.
    pub async fn import(&self, csv: &str) -> ImportReport {
        self.try_import(csv, &LENIENT).await.unwrap()
    }

    pub async fn try_import(&self, csv: &str, options: &ImportOptions) -> Result<ImportReport, ImportError> {
        let mut connection = self.pool.acquire().await.unwrap();
        import::import_reader(&mut connection, csv.as_bytes(), options).await
    }

    /// Imports one of the files next to the tests.
    pub async fn import_file(
        &self,
        name: &str,
        options: &ImportOptions,
    ) -> Result<ImportReport, ImportError> {
        let mut connection = self.pool.acquire().await.unwrap();
        import::import_file(&mut connection, &file(name), options).await
    }

    /// The single value that a query returns, as JSON.
    pub async fn json(&self, sql: &str) -> Value {
        self.database.json(sql).await
    }

    /// A product with its variants and images in order.
    pub async fn product(&self, slug: &str) -> Value {
        self.json(&format!(
            "select jsonb_build_object(
                 'title', title, 'description', description, 'active', active, 'currency', currency,
                 'price', price_cents, 'compare_at', compare_at_cents, 'in_stock', in_stock,
                 'image', image_url, 'attributes', attributes,
                 'brand', (select name from brands where id = brand_id),
                 'variants', (
                     select jsonb_agg(jsonb_build_array(sku, title, options, price_cents, compare_at_cents,
                                                        stock_quantity) order by position)
                     from variants where product_id = products.id
                 ),
                 'images', (
                     select jsonb_agg(jsonb_build_array(url, alt) order by position)
                     from images where product_id = products.id
                 ),
                 'searchable', exists (select from product_search where product_id = products.id)
             ) from products where slug = '{slug}'"
        ))
        .await
    }

    /// The slugs of a product's category and its ancestors, from the root down.
    pub async fn category_path(&self, slug: &str) -> Value {
        self.json(&format!(
            "with recursive path as (
                 select categories.*, 0 as height from categories
                 join products on products.category_id = categories.id where products.slug = '{slug}'
                 union all
                 select categories.*, path.height + 1 from categories join path on path.parent_id = categories.id
             ) select jsonb_agg(slug order by height desc) from path"
        ))
        .await
    }

    /// Everything that an import may change, for comparisons. Generated ids and times are omitted.
    pub async fn snapshot(&self) -> Value {
        self.json(
            "select jsonb_build_object(
                 'changes', (select count(*) from catalog_changes),
                 'brands', (select jsonb_agg(slug order by slug) from brands),
                 'categories', (select jsonb_agg(slug order by slug) from categories),
                 'products', (select jsonb_agg(to_jsonb(products) - 'updated_at' order by slug) from products),
                 'variants', (select jsonb_agg(to_jsonb(variants) order by sku) from variants),
                 'images', (select jsonb_agg(to_jsonb(images) - 'id' order by product_id, position) from images),
                 'search', (select jsonb_agg(document::text order by product_id) from product_search)
             )",
        )
        .await
    }

    pub async fn execute(&self, sql: &str) {
        execute(&mut self.pool.acquire().await.unwrap(), sql).await;
    }
}

/// The path of a file next to the tests.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/import/files")
        .join(name)
}

/// An export of `rows`, each with the columns of a simple product: handle, title, size, SKU, price.
pub fn export(rows: &[[&str; 5]]) -> String {
    let mut text = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price\n".to_owned();
    for [handle, title, size, sku, price] in rows {
        let name = if title.is_empty() || size.is_empty() {
            ""
        } else {
            "Size"
        };
        writeln!(text, "{handle},{title},{name},{size},{sku},{price}").unwrap();
    }
    text
}

/// The line and reason of each skipped row.
pub fn skipped(report: &ImportReport) -> Vec<(u64, &str)> {
    report
        .rows_skipped
        .iter()
        .map(|remark| (remark.line, remark.reason.as_str()))
        .collect()
}
