//! Unique SKUs: a SKU names one variant in the whole shop.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::product::Product;
use super::report::{ImportReport, Shown};

/// SKUs per lookup statement.
const SKUS_PER_LOOKUP: usize = 10_000;

/// The SKUs in the file so far, with their lines.
#[derive(Debug, Default)]
pub(super) struct Skus {
    lines: HashMap<String, u64>,
}

impl Skus {
    /// Assigns `sku` to the variant on `line`.
    ///
    /// # Errors
    /// The line whose variant already has it.
    pub(super) fn claim(&mut self, sku: &str, line: u64) -> Result<(), u64> {
        match self.lines.entry(sku.to_owned()) {
            Entry::Occupied(taken) => Err(*taken.get()),
            Entry::Vacant(free) => {
                free.insert(line);
                Ok(())
            }
        }
    }
}

/// Skips variants whose SKU belongs to another product of the shop, and products that are left without a variant.
///
/// Ownership is read before the import writes, so the order of products in the file doesn't matter.
pub(super) async fn leave_out_foreign_skus(
    connection: &mut PgConnection,
    products: &mut Vec<Product>,
    report: &mut ImportReport,
) -> Result<(), sqlx::Error> {
    let owners = find_owners(connection, products).await?;
    let mut emptied = Vec::new();
    for product in products.iter_mut() {
        let Product { handle, variants, .. } = product;
        variants.retain(|variant| match owners.get(&variant.sku) {
            Some(owner) if owner != handle => {
                let (sku, owner) = (Shown(&variant.sku), Shown(owner));
                report.skip(
                    variant.line,
                    handle,
                    format_args!("SKU {sku} belongs to the product {owner}"),
                );
                false
            }
            _ => true,
        });
        if product.variants.is_empty() {
            emptied.push(product.handle.clone());
        }
    }
    if emptied.is_empty() {
        return Ok(());
    }
    let emptied: HashSet<String> = emptied.into_iter().collect();
    let reported = report.rows_skipped.iter().map(|remark| remark.line).collect();
    for product in products
        .iter()
        .filter(|product| emptied.contains(&product.handle))
    {
        product.skip_rest(&reported, report);
    }
    products.retain(|product| !emptied.contains(&product.handle));
    Ok(())
}

/// The handles of the shop's products that own SKUs of the file.
async fn find_owners(
    connection: &mut PgConnection,
    products: &[Product],
) -> Result<HashMap<String, String>, sqlx::Error> {
    let skus = products
        .iter()
        .flat_map(|product| &product.variants)
        .map(|variant| variant.sku.as_str());
    let skus: Vec<&str> = skus.collect();
    let mut owners = HashMap::new();
    for skus in skus.chunks(SKUS_PER_LOOKUP) {
        let found = sqlx::query!(
            r#"
            select variants.sku, products.slug
            from variants
            join products on products.id = variants.product_id
            where variants.sku = any($1)
            "#,
            skus as &[&str],
        )
        .fetch_all(&mut *connection)
        .await?;
        owners.extend(found.into_iter().map(|row| (row.sku, row.slug)));
    }
    Ok(owners)
}
