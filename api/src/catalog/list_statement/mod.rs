//! How the statement of a list is put to Postgres: the lesson `planner_estimates`. A plan is only as good as what the planner
//! knows when it chooses: a value that stands behind a subselect, or in a plan that is kept for all values, is guessed.
//!
//! Both arms read the same rows, in the same order: the page's sort key (`sort_key`), then the columns of
//! [`ListColumns`](super::list_columns::ListColumns). Brand and category are ids, which the process can name
//! ([`Reference`](super::reference::Reference)). Fragments are constant and put together for the filters that are there. One
//! statement with `$1 is null or …` for each filter would get one generic plan for all, which reads the whole table.

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

    /// As `read`, behind as many rows, which are read and discarded.
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
    /// What comes after a key.
    After {
        /// The last item's sort key.
        key: i64,
        /// The last item's id.
        id: Uuid,
    },
}

/// What a page is read from.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    /// Which products.
    pub filters: &'a ProductFilters,
    /// In which order.
    pub sort: Sort,
    /// The most items of the page. One row more is read at least, which tells whether the list goes on.
    pub limit: u32,
    /// The columns of `products p`.
    pub columns: &'static str,
    /// How words are found.
    pub search: Search,
    /// Which of the search's matchings: 0 at first, 1 when that found nothing.
    pub matching: u8,
    /// Where the page begins.
    pub bounds: Bounds,
}

/// ` order by …`, of a key and an id.
fn push_order(sql: &mut QueryBuilder<Postgres>, sort: Sort, key: &str, id: &str) {
    let direction = sort.direction();
    for part in [" order by ", key, direction, ", ", id, direction] {
        sql.push(part);
    }
}

/// The condition that continues after a cursor.
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
