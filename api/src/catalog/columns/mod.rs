//! An in-process column store of the product data that facets and category counts need: about 40 bytes per product, counted
//! in one pass. Postgres would have to read whole rows, with descriptions of 1 KB.
//!
//! It is a replica (`catalog/replica.rs`): loaded in the background, then kept up to date by the change feed. Read next:
//! `rows.rs`, the columns, and `facets/columns.rs`, which uses their counts.

mod dictionary;
pub mod load;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use self::rows::{Rows, Tally};

/// Lower bounds of the price bands, in minor units.
pub const PRICE_BANDS: [i64; 7] = [0, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000];

/// Products counted per lock, so that a change waits for only a fraction of a millisecond.
const COUNT_BATCH: usize = 65_536;

/// With this many products, a pass would block a thread of the async runtime for too long.
const BLOCKING_THRESHOLD: usize = 500_000;

/// The data of one product that the columns hold.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct ProductRow {
    pub id: Uuid,
    pub brand_id: Uuid,
    pub category_id: Uuid,
    /// The lowest of its variants' prices.
    pub price_cents: i64,
    /// At least one variant is in stock.
    pub in_stock: bool,
    pub active: bool,
}

/// Selects products to count. Inactive products never pass.
#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    pub brand: Option<Uuid>,
    /// Any of these categories.
    pub categories: Option<Vec<Uuid>>,
    pub min_price: Option<i64>,
    pub max_price: Option<i64>,
    pub in_stock: Option<bool>,
}

/// Counts of the selected products, without zeros for brands and categories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By brand, unordered.
    pub brands: Vec<(Uuid, u32)>,
    /// By category, unordered.
    pub categories: Vec<(Uuid, u32)>,
    /// By price band, in the order of [`PRICE_BANDS`].
    pub bands: [u32; PRICE_BANDS.len()],
    pub in_stock: u32,
    pub out_of_stock: u32,
}

/// The columns of all products.
pub struct ProductColumns(RwLock<Rows>);

impl ProductColumns {
    /// Empty, with capacity for these products.
    pub fn with_capacity(products: usize) -> Self {
        Self(RwLock::new(Rows::with_capacity(products)))
    }

    /// Inserts or replaces products.
    pub fn put(&self, products: &[ProductRow]) {
        let mut rows = self.write();
        for product in products {
            rows.put(product);
        }
    }

    /// Removes deleted products. Unknown ids are ignored.
    pub fn remove(&self, products: impl IntoIterator<Item = Uuid>) {
        let mut rows = self.write();
        for id in products {
            rows.remove(id);
        }
    }

    /// Counts the selected products. A long pass runs on a thread for blocking work.
    pub async fn count(self: Arc<Self>, filter: RowFilter) -> Counts {
        if self.read().len() < BLOCKING_THRESHOLD {
            return self.count_now(&filter);
        }
        let counting = tokio::task::spawn_blocking(move || self.count_now(&filter));
        counting
            .await
            .expect("counting doesn't panic and isn't cancelled")
    }

    /// Counts the selected products. The lock is released between parts of the pass, so each product is counted in its
    /// state at some moment of the pass.
    pub fn count_now(&self, filter: &RowFilter) -> Counts {
        let rows = self.read();
        let Some(filter) = rows.encode_filter(filter) else {
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
                .count_range(from..from + COUNT_BATCH, &filter, &mut tally)
                .is_break()
            {
                return rows.counts(&tally);
            }
            from += COUNT_BATCH;
        }
    }

    /// Counts the selected products among these.
    pub fn count_ids(&self, ids: &[Uuid], filter: &RowFilter) -> Counts {
        let rows = self.read();
        let Some(filter) = rows.encode_filter(filter) else {
            return Counts::default();
        };
        let mut tally = Tally::default();
        rows.count_ids(ids, &filter, &mut tally);
        rows.counts(&tally)
    }

    /// Counts of active products by their own category, excluding its descendants. They are maintained by writes, so this
    /// needs no pass.
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
