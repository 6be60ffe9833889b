//! **Technique**: the planner sees values: ids of brands and categories from the process, words as a constant query, and a
//! plan of its own for each execution whose values decide. The page is chosen from indexes alone, and only then are its
//! rows read.
//! **Cost**: planning, each time a value decides; a list that intersects indexes asks the planner first how many rows it expects.
//! **Fails when**: no value decides: then each execution plans the same plan again.
//! **Source**: <https://www.postgresql.org/docs/current/planner-stats.html>,
//! <https://www.postgresql.org/docs/current/indexes-index-only-scans.html>

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::category_merge::{self, CategoryLimits};
use super::{ListQuery, intersection, push_after, push_order, push_prices};
use crate::catalog::filters::ProductFilters;
use crate::catalog::reference::Snapshot;
use crate::catalog::search::full_text::TextQuery;
use crate::catalog::search::indexed_search::lexemes;
use crate::catalog::search_statistics::SearchStatistics;
use crate::catalog::sort::Sort;
use crate::database::InstrumentedConnection;

/// The most categories whose orders are merged. Each costs a descent of an index, four pages.
const MAX_MERGED: usize = 100;

/// The ids that a list's slugs stand for.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Ids<'a> {
    pub(super) brand: Option<Uuid>,
    /// The category's and those of all below it.
    pub(super) categories: Option<&'a [Uuid]>,
}

impl<'a> Ids<'a> {
    /// The categories whose orders are merged.
    pub(super) fn merged(self) -> Option<&'a [Uuid]> {
        match self {
            Self {
                brand: None,
                categories: Some(ids),
            } if (2..=MAX_MERGED).contains(&ids.len()) => Some(ids),
            _ => None,
        }
    }

    /// What the inverted index is asked for in a list without words, when no other index has its order: the category or what
    /// is sold out, and the other lexemes. A merge would discard many rows of each category.
    fn intersection_query(self, filters: &ProductFilters, sort: Sort) -> Option<(TextQuery, String)> {
        let is_sold_out = filters.in_stock == Some(false);
        let (main, in_stock) = match self.categories {
            // The first of a subtree is its root.
            Some(ids @ [root, ..])
                if is_sold_out
                    || self.brand.is_some()
                    || ids.len() > MAX_MERGED
                    || (ids.len() > 1 && has_other_prices(filters, sort)) =>
            {
                (lexemes::category(*root), filters.in_stock)
            }
            None if is_sold_out => (lexemes::sold_out(), None),
            _ => return None,
        };
        Some((
            TextQuery::Lexemes(main),
            lexemes::all_of(self.brand, None, in_stock),
        ))
    }

    /// `None` when a slug is unknown: no product has it.
    fn of(filters: &ProductFilters, reference: &'a Snapshot) -> Option<Self> {
        let brand = match &filters.brand {
            None => None,
            Some(slug) => Some(reference.brand_by_slug(slug)?.id),
        };
        let categories = match &filters.category {
            None => None,
            Some(slug) => Some(&*reference.category_by_slug(slug)?.subtree),
        };
        Some(Self { brand, categories })
    }
}

/// Plans each statement for its values.
#[derive(Debug, Clone, Copy)]
pub struct Visible;

impl Visible {
    /// Reads a page, and at least one row more if the list continues.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        reference: &Snapshot,
        statistics: &SearchStatistics,
        list: ListQuery<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let Some(ids) = Ids::of(list.filters, reference) else {
            return Ok(Vec::new());
        };
        let Some(text) = list.filters.q.as_deref() else {
            return read_without_words(connection, statistics, list, ids).await;
        };
        let Some(matching) = list.search.matching(text, list.matching) else {
            return Ok(Vec::new());
        };
        #[cfg(feature = "baselines")]
        if let crate::catalog::search::Matching::Like(_) = matching {
            return super::whole_order::read(connection, list, ids, 0).await;
        }
        let Some(query) = matching.text_query(connection).await? else {
            return Ok(Vec::new());
        };
        let category = ids.categories.and_then(<[_]>::first).copied();
        let lexemes = lexemes::all_of(ids.brand, category, list.filters.in_stock);
        intersection::read(connection, statistics, list, ids, &query, &lexemes).await
    }

    /// Leaves everything but the values to Postgres.
    #[cfg(feature = "baselines")]
    pub async fn read_skipping(
        self,
        connection: &mut InstrumentedConnection<'_>,
        reference: &Snapshot,
        list: ListQuery<'_>,
        skipped: u64,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        match Ids::of(list.filters, reference) {
            Some(ids) => super::whole_order::read(connection, list, ids, skipped).await,
            None => Ok(Vec::new()),
        }
    }
}

async fn read_without_words(
    connection: &mut InstrumentedConnection<'_>,
    statistics: &SearchStatistics,
    list: ListQuery<'_>,
    ids: Ids<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let filters = list.filters;
    if let Some((query, lexemes)) = ids.intersection_query(filters, list.sort) {
        let ids = Ids {
            categories: None,
            ..ids
        };
        return intersection::read(connection, statistics, list, ids, &query, &lexemes).await;
    }
    if matches!(
        ids,
        Ids {
            brand: None,
            categories: None
        }
    ) && has_other_prices(filters, list.sort)
        && let Some(page) = intersection::read_between_prices(connection, statistics, list).await?
    {
        return Ok(page);
    }
    let mut limits = CategoryLimits::new(rows(list.limit));
    if let Some(subtree) = ids.merged() {
        limits.lower_to_expected(&*statistics.get(connection).await?, subtree);
    }
    // What one plan serves for all values keeps it; where a value decides, each execution is planned for its own.
    let is_decided_by_values = filters.min_price.is_some()
        || filters.max_price.is_some()
        || (ids.brand.is_some() && ids.categories.is_some());
    loop {
        let mut sql = compose(&list, ids, &limits);
        let page = sql
            .build()
            .persistent(!is_decided_by_values)
            .fetch_all(&mut *connection)
            .await?;
        if !limits.raise_saturated(&page)? {
            return Ok(page);
        }
    }
}

/// Whether the price is limited, and the list has another order.
pub(super) fn has_other_prices(filters: &ProductFilters, sort: Sort) -> bool {
    let has_limits = filters.min_price.is_some() || filters.max_price.is_some();
    has_limits && !matches!(sort, Sort::PriceAsc | Sort::PriceDesc)
}

/// How many rows are read for a page. Few different numbers, since each makes a statement of its own; what is too much is
/// cut off by the caller.
fn rows(limit: u32) -> u64 {
    match limit {
        0..=20 => 21,
        21..=50 => 51,
        _ => 101,
    }
}

/// Without filters that an index doesn't have, the index of the order leads straight to the page's rows. With them, keys and
/// ids are chosen from an index first, so that rows which are filtered out are never read.
fn compose(list: &ListQuery<'_>, ids: Ids<'_>, limits: &CategoryLimits) -> QueryBuilder<Postgres> {
    let filters = list.filters;
    let is_plain = filters.min_price.is_none()
        && filters.max_price.is_none()
        && filters.in_stock.is_none()
        && match ids {
            Ids {
                brand: None,
                categories: Some(ids),
            } => ids.len() == 1,
            Ids { brand, categories } => brand.is_none() || categories.is_none(),
        };
    let mut sql = QueryBuilder::new("");
    if is_plain {
        push_keys(&mut sql, list, ids, list.columns);
        push_cut(&mut sql, list);
        return sql;
    }
    if let Some(subtree) = ids.merged() {
        category_merge::push(&mut sql, list, subtree, limits);
        return sql;
    }
    push_page_begin(&mut sql);
    push_keys(&mut sql, list, ids, "p.id");
    push_cut(&mut sql, list);
    push_page_end(&mut sql, list);
    sql
}

/// Limits are written out, not bound: with an unknown limit the planner assumes a tenth of the table.
pub(super) fn push_limit(sql: &mut QueryBuilder<Postgres>, limit: u64) {
    sql.push(" limit ").push(limit);
}

/// Opens a statement that chooses keys and ids first.
pub(super) fn push_page_begin(sql: &mut QueryBuilder<Postgres>) {
    sql.push("select page.sort_key, item.* from (");
}

/// Closes it: the rows of what was chosen. With a limit of its own, each stays a look-up by the primary key.
pub(super) fn push_page_end(sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>) {
    sql.push(") page cross join lateral (select ")
        .push(list.columns)
        .push(" from products p where p.id = page.id limit 1) item");
    push_order(sql, list.sort, "page.sort_key", "page.id");
}

/// The page's rows.
pub(super) fn push_cut(sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>) {
    push_limit(sql, rows(list.limit));
}

/// The condition on a product's category.
#[derive(Clone, Copy)]
pub(super) enum InCategory<'a> {
    Any,
    OneOf(&'a [Uuid]),
    /// The one of `subtree` that is merged.
    Merged,
}

/// Keys and ids of the first products, in order.
pub(super) fn push_keys(sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>, ids: Ids<'_>, columns: &str) {
    let category = ids.categories.map_or(InCategory::Any, InCategory::OneOf);
    push_keys_in(sql, list, (ids.brand, category), columns);
}

pub(super) fn push_keys_in(
    sql: &mut QueryBuilder<Postgres>,
    list: &ListQuery<'_>,
    (brand, category): (Option<Uuid>, InCategory<'_>),
    columns: &str,
) {
    // A list without words is never sorted by relevance, whose parts are sorted by sales.
    let column = list.sort.column().unwrap_or("sales_count");
    for part in ["select p.", column, " as sort_key, ", columns, " from products p"] {
        sql.push(part);
    }
    push_conditions(sql, list.filters, (brand, category));
    let key = format!("p.{column}");
    push_after(sql, list.sort, list.bounds, &key, "p.id");
    push_order(sql, list.sort, &key, "p.id");
}

/// The conditions on `products p`, without the words.
pub(super) fn push_conditions(
    sql: &mut QueryBuilder<Postgres>,
    filters: &ProductFilters,
    (brand, category): (Option<Uuid>, InCategory<'_>),
) {
    sql.push(" where p.active");
    if let Some(brand) = brand {
        sql.push(" and p.brand_id = ").push_bind(brand);
    }
    match category {
        InCategory::Any => {}
        InCategory::OneOf([category]) => {
            sql.push(" and p.category_id = ").push_bind(*category);
        }
        InCategory::OneOf(categories) => {
            sql.push(" and p.category_id = any(")
                .push_bind(categories.to_vec())
                .push(")");
        }
        InCategory::Merged => {
            sql.push(" and p.category_id = subtree.id");
        }
    }
    push_prices(sql, filters, "p");
    match filters.in_stock {
        Some(true) => sql.push(" and p.in_stock"),
        Some(false) => sql.push(" and not p.in_stock"),
        None => sql,
    };
}
