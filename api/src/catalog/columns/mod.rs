//! What facets and category counts need of each product, in columns in the process: some 40 bytes a product, counted in one
//! pass. Postgres would read the products' whole rows for that, with descriptions of 1 KB.
//!
//! They are a replica (`catalog/replica.rs`): loaded in the background, then kept by the change feed. Read next:
//! `rows.rs`, the columns, and `show_facets/columns.rs`, which counts them.

pub mod load;
mod numbers;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use self::rows::{Rows, Tally};

/// Lower bounds of the price bands, in minor units.
pub const PRICE_BANDS: [i64; 7] = [0, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000];

/// Products that are counted while the columns are locked, so that a change waits for a fraction of a millisecond.
const COUNT_AT_ONCE: usize = 65_536;

/// From so many products on, a pass takes longer than a thread that runs requests should be held up.
const BLOCKING_FROM: usize = 500_000;

/// A product, as its row says.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct ProductRow {
    /// The product, by id.
    pub id: Uuid,
    /// Its brand.
    pub brand_id: Uuid,
    /// Its own category.
    pub category_id: Uuid,
    /// The lowest of its variants' prices.
    pub price_cents: i64,
    /// Whether any variant is in stock.
    pub in_stock: bool,
    /// Whether it is shown.
    pub active: bool,
}

/// Which products are counted. Only those that are shown, in any case.
#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    /// Of this brand.
    pub brand: Option<Uuid>,
    /// Of any of these categories.
    pub categories: Option<Vec<Uuid>>,
    /// For no less.
    pub min_price: Option<i64>,
    /// For no more.
    pub max_price: Option<i64>,
    /// In stock, or not.
    pub in_stock: Option<bool>,
}

/// How the products that pass divide. What has no products is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By brand, in no order.
    pub brands: Vec<(Uuid, u32)>,
    /// By category, in no order.
    pub categories: Vec<(Uuid, u32)>,
    /// By price band, in the order of [`PRICE_BANDS`].
    pub bands: [u32; PRICE_BANDS.len()],
    /// In stock.
    pub in_stock: u32,
    /// Not in stock.
    pub out_of_stock: u32,
}

/// The columns of all products.
pub struct ProductColumns(RwLock<Rows>);

impl ProductColumns {
    /// No products yet, and room for so many.
    pub fn with_capacity(products: usize) -> Self {
        Self(RwLock::new(Rows::with_capacity(products)))
    }

    /// Writes products, in place of what was known of them.
    pub fn put(&self, products: &[ProductRow]) {
        let mut rows = self.write();
        for product in products {
            rows.put(product);
        }
    }

    /// Forgets products.
    pub fn remove(&self, products: impl IntoIterator<Item = Uuid>) {
        let mut rows = self.write();
        for id in products {
            rows.remove(id);
        }
    }

    /// Counts the products that pass, on a thread for blocking work where there are many.
    pub async fn count(self: Arc<Self>, filter: RowFilter) -> Counts {
        if self.read().len() < BLOCKING_FROM {
            return self.count_now(&filter);
        }
        let counting = tokio::task::spawn_blocking(move || self.count_now(&filter));
        counting
            .await
            .expect("counting doesn't panic, and is not cancelled")
    }

    /// Counts the products that pass. The columns are locked for a part of the pass at a time: each product is counted
    /// as it is at some moment of the pass.
    pub fn count_now(&self, filter: &RowFilter) -> Counts {
        let rows = self.read();
        let Some(filter) = rows.numbered(filter) else {
            return Counts::default();
        };
        if filter.passes_all() {
            return rows.counts(rows.totals());
        }
        drop(rows);
        let mut tally = Tally::default();
        let mut from = 0;
        loop {
            let rows = self.read();
            if rows
                .count_range(from..from + COUNT_AT_ONCE, &filter, &mut tally)
                .is_break()
            {
                return rows.counts(&tally);
            }
            from += COUNT_AT_ONCE;
        }
    }

    /// Counts those of these products that pass.
    pub fn count_ids(&self, ids: &[Uuid], filter: &RowFilter) -> Counts {
        let rows = self.read();
        let Some(filter) = rows.numbered(filter) else {
            return Counts::default();
        };
        let mut tally = Tally::default();
        rows.count_ids(ids, &filter, &mut tally);
        rows.counts(&tally)
    }

    /// Products that are shown, by their category, without those below it. No pass: they are kept.
    pub fn by_category(&self) -> Vec<(Uuid, u32)> {
        self.read().by_category()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Rows> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Rows> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
