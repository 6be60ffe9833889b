//! The statement that reads a page of a list: the lesson `planner_estimates`. A plan is only as good as the planner's
//! estimates. The planner guesses the selectivity of a value that a subselect looks up, and of every value in a generic
//! plan.
//!
//! Both arms return the same rows in the same order. The first column of a row is its sort key (`sort_key`), the others
//! are those of [`ListColumns`](super::list_columns::ListColumns). Brands and categories are ids, whose names the
//! process knows ([`Reference`](super::reference::Reference)). The statement is composed of constant fragments for the
//! filters that the request has. A single statement with `$1 is null or …` for each filter would get one generic plan,
//! which reads the whole table.

#[cfg(feature = "baselines")]
pub mod hidden;
#[cfg(feature = "baselines")]
mod whole_order;

mod category_merge;
mod estimate;
mod intersection;
mod ranges;
pub mod visible;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::filters::ProductFilters;
use super::reference::Snapshot;
use super::search::Search;
use super::search_statistics::SearchStatistics;
use super::sort::Sort;
use crate::database::InstrumentedConnection;

techniques::component! {
    /// Reads a page of a list.
    #[derive(Debug, Clone, Copy)]
    pub ListStatement: techniques::PlannerEstimates {
        baseline Hidden = hidden::Hidden,
        optimized Visible = visible::Visible,
    }
    pub select();

    /// Reads more than `limit` rows if the list has them, and at most 101.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        reference: &Snapshot,
        statistics: &SearchStatistics,
        list: ListQuery<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error>;

    /// Like `read`, after the first `skipped` rows, which are read and discarded.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn read_skipping(
        self,
        connection: &mut InstrumentedConnection<'_>,
        reference: &Snapshot,
        list: ListQuery<'_>,
        skipped: u64,
    ) -> Result<Vec<PgRow>, sqlx::Error>;
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub enum Bounds {
    /// The first page.
    Start,
    /// A later page: the rows after a cursor.
    After {
        /// The last item's sort key.
        key: i64,
        /// The last item's id.
        id: Uuid,
    },
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    pub filters: &'a ProductFilters,
    pub sort: Sort,
    /// The maximum number of items on the page. At least one more row is read, which shows whether another page
    /// follows.
    pub limit: u32,
    /// The columns of `products p`.
    pub columns: &'static str,
    /// How the words of `q` are found.
    pub search: Search,
    /// How the search matches: 0 for its first way, 1 for the fallback when that found nothing.
    pub matching: u8,
    pub bounds: Bounds,
}

/// Appends ` order by` with the sort key and the id.
fn push_order(sql: &mut QueryBuilder<Postgres>, sort: Sort, key: &str, id: &str) {
    let direction = sort.direction();
    for part in [" order by ", key, direction, ", ", id, direction] {
        sql.push(part);
    }
}

/// Appends the condition for the rows after a cursor (keyset pagination).
fn push_after(sql: &mut QueryBuilder<Postgres>, sort: Sort, bounds: Bounds, key: &str, id: &str) {
    if let Bounds::After {
        key: last,
        id: last_id,
    } = bounds
    {
        for part in [" and (", key, ", ", id, ")", sort.beyond(), "("] {
            sql.push(part);
        }
        sort.push_key(sql, last);
        sql.push(", ").push_bind(last_id).push(")");
    }
}

/// The price limits, as conditions on a column of `of`.
fn push_prices(sql: &mut QueryBuilder<Postgres>, filters: &ProductFilters, of: &str) {
    if let Some(price) = filters.min_price {
        sql.push(" and ")
            .push(of)
            .push(".price_cents >= ")
            .push_bind(price);
    }
    if let Some(price) = filters.max_price {
        sql.push(" and ")
            .push(of)
            .push(".price_cents <= ")
            .push_bind(price);
    }
}
