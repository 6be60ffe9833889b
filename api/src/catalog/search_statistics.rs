//! The planner's statistics on what searches read (`pg_stats` of `search_rows`), held in the process. A list with words reads
//! a range of its sort order that is expected to hold a page. The statistics are sampled and may be old, so they decide what
//! a search costs and never what it finds.
//!
//! Source: <https://www.postgresql.org/docs/current/view-pg-stats.html>.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::database::InstrumentedConnection;

/// Postgres samples a table when a tenth of it has changed, so a minute adds little to their age.
const MAX_AGE: Duration = Duration::from_mins(1);

/// Products that share a key, or whose keys lie between two values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub low: i64,
    pub high: i64,
    /// The share of all products, from 0 to 1.
    pub share: f64,
}

/// The statistics of `search_rows`, and some of `products`. Empty before its first `analyze`.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Estimated rows.
    pub products: f64,
    /// The steps of each sort column, ascending.
    pub steps: HashMap<String, Vec<Step>>,
    /// Ids that divide the products into parts of equal size, ascending.
    pub ids: Vec<Uuid>,
    /// The shares of the most common categories of `products`.
    pub categories: HashMap<Uuid, f64>,
    /// The share of an order's index entries at which an index-only scan changes to another page of the visibility map of
    /// `products`: rows that follow each other in the order are anywhere in the table.
    pub visibility_map_switches: f64,
}

/// The visibility map has two bits for each page of a table.
const PAGES_A_MAP_PAGE: f64 = 32_672.0;

impl Statistics {
    /// As before the first `analyze`.
    pub fn none() -> &'static Self {
        static NONE: LazyLock<Statistics> = LazyLock::new(Statistics::default);
        &NONE
    }

    /// The most products that are expected to be in a category itself, as a share of all. 0 when nothing is known.
    pub fn share_of_category(&self, id: &Uuid) -> f64 {
        let least = || self.categories.values().copied().reduce(f64::min);
        self.categories
            .get(id)
            .copied()
            .or_else(least)
            .unwrap_or_default()
    }
}

/// The current statistics. A request that finds them older than a minute reads them again.
#[derive(Debug, Default)]
pub struct SearchStatistics(Mutex<Option<(Instant, Arc<Statistics>)>>);

impl SearchStatistics {
    /// The current statistics, at most a minute old.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn get(
        &self,
        connection: &mut InstrumentedConnection<'_>,
    ) -> Result<Arc<Statistics>, sqlx::Error> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let statistics = Arc::new(read(connection).await?);
        *self.lock() = Some((Instant::now(), Arc::clone(&statistics)));
        Ok(statistics)
    }

    fn fresh(&self) -> Option<Arc<Statistics>> {
        let mut current = self.lock();
        let (read_at, statistics) = current.as_mut()?;
        if read_at.elapsed() > MAX_AGE {
            // Concurrent requests use the old ones meanwhile.
            *read_at = Instant::now();
            return None;
        }
        Some(Arc::clone(statistics))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<Statistics>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(connection: &mut InstrumentedConnection<'_>) -> Result<Statistics, sqlx::Error> {
    let columns = sqlx::query!(
        r#"with known as (
               select attname::text as name, most_common_vals::text as common, most_common_freqs as frequencies,
                      histogram_bounds::text as bounds
               from pg_stats
               where schemaname = current_schema() and tablename = 'search_rows'
                 and attname in ('created_at', 'price_band', 'sales_band', 'rating_hundredths')
           )
           select name as "name!",
                  coalesce(case name when 'created_at'
                      then array(select (extract(epoch from value) * 1000000)::bigint from unnest(common::timestamptz[]) value)
                      else common::bigint[] end, '{}') as "common!: Vec<i64>",
                  coalesce(frequencies, '{}') as "frequencies!: Vec<f32>",
                  coalesce(case name when 'created_at'
                      then array(select (extract(epoch from value) * 1000000)::bigint from unnest(bounds::timestamptz[]) value)
                      else bounds::bigint[] end, '{}') as "bounds!: Vec<i64>"
           from known"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let table = sqlx::query!(
        r#"select (select greatest(reltuples, 0)::float8 from pg_class where oid = 'search_rows'::regclass) as "products!",
                  coalesce((select histogram_bounds::text::uuid[] from pg_stats
                            where schemaname = current_schema() and tablename = 'search_rows'
                              and attname = 'product_id'), '{}') as "ids!: Vec<Uuid>",
                  (select greatest(relpages, 0)::float8 from pg_class where oid = 'products'::regclass) as "pages!",
                  coalesce((select most_common_vals::text::uuid[] from pg_stats
                            where schemaname = current_schema() and tablename = 'products'
                              and attname = 'category_id'), '{}') as "categories!: Vec<Uuid>",
                  coalesce((select most_common_freqs from pg_stats
                            where schemaname = current_schema() and tablename = 'products'
                              and attname = 'category_id'), '{}') as "shares!: Vec<f32>""#
    )
    .fetch_one(connection)
    .await?;
    let steps = columns.into_iter().map(|column| {
        (
            column.name,
            steps(&column.common, &column.frequencies, &column.bounds),
        )
    });
    Ok(Statistics {
        products: table.products,
        steps: steps.collect(),
        ids: table.ids,
        categories: table
            .categories
            .into_iter()
            .zip(table.shares.into_iter().map(f64::from))
            .collect(),
        visibility_map_switches: visibility_map_switches(table.pages),
    })
}

/// Two rows anywhere in a table have different pages of the visibility map, if they are not on the same.
fn visibility_map_switches(pages: f64) -> f64 {
    let pages = pages.max(1.0);
    let full = (pages / PAGES_A_MAP_PAGE).floor();
    let rest = pages - full * PAGES_A_MAP_PAGE;
    let same = (full * PAGES_A_MAP_PAGE.powi(2) + rest.powi(2)) / pages.powi(2);
    1.0 - same
}

/// Common values are steps of their own. The products with other values are divided by the histogram into parts of equal
/// size.
fn steps(common: &[i64], frequencies: &[f32], bounds: &[i64]) -> Vec<Step> {
    let common = common.iter().zip(frequencies).map(|(value, frequency)| Step {
        low: *value,
        high: *value,
        share: f64::from(*frequency),
    });
    let mut steps: Vec<Step> = common.collect();
    let rest = (1.0 - steps.iter().map(|step| step.share).sum::<f64>()).max(0.0);
    let parts = bounds.len().saturating_sub(1) as f64;
    steps.extend(bounds.windows(2).map(|bounds| Step {
        low: bounds[0],
        high: bounds[1],
        share: rest / parts,
    }));
    steps.sort_by_key(|step| (step.high, step.low));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_has_many_pages_of_its_visibility_map() {
        assert_eq!(visibility_map_switches(0.0), 0.0);
        assert_eq!(visibility_map_switches(PAGES_A_MAP_PAGE), 0.0);
        assert_eq!(visibility_map_switches(2.0 * PAGES_A_MAP_PAGE), 0.5);
        assert!((visibility_map_switches(1.25 * PAGES_A_MAP_PAGE) - 0.32).abs() < 1e-9);
    }

    #[test]
    fn a_category_that_is_not_among_the_most_common_is_rarer_than_those() {
        let [common, rare] = [1, 2].map(Uuid::from_u128);
        let statistics = Statistics {
            categories: [(common, 0.25)].into(),
            ..Statistics::default()
        };
        assert_eq!(statistics.share_of_category(&rare), 0.25);
        assert_eq!(Statistics::default().share_of_category(&rare), 0.0);
    }

    #[test]
    fn common_values_and_the_parts_of_a_histogram_are_steps() {
        let steps = steps(&[500, 0], &[0.25, 0.5], &[100, 300, 499]);
        let step = |low, high, share| Step { low, high, share };
        assert_eq!(
            steps,
            [
                step(0, 0, 0.5),
                step(100, 300, 0.125),
                step(300, 499, 0.125),
                step(500, 500, 0.25)
            ]
        );
    }
}
