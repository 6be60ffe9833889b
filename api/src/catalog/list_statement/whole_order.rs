//! The page of a list for which no index is combined with another: all conditions are filters of one statement. Patterns
//! (`search=like`) and skipped rows (`pagination=offset`) are read like this, with the values visible to the planner. Shared by
//! both arms: how a search is written into such a statement.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::visible::{Ids, InCategory, push_conditions, push_limit};
use super::{Bounds, ListQuery, push_after, push_order};
use crate::catalog::search::Matching;
use crate::catalog::search::full_text::TITLE_MATCH;
use crate::database::InstrumentedConnection;

/// Reads the page behind the skipped rows.
pub(super) async fn read(
    connection: &mut InstrumentedConnection<'_>,
    list: ListQuery<'_>,
    ids: Ids<'_>,
    skipped: u64,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let matching = match list.filters.q.as_deref() {
        None => None,
        Some(text) => match list.search.matching(text, list.matching) {
            None => return Ok(Vec::new()),
            matching => matching,
        },
    };
    let mut sql = QueryBuilder::new("");
    sql.push("select ");
    push_key(&mut sql, &list, matching.as_ref());
    sql.push(" as sort_key, ")
        .push(list.columns)
        .push(" from products p");
    if let Some(matching) = &matching {
        matching.push_join(&mut sql);
    }
    let category = ids.categories.map_or(InCategory::Any, InCategory::OneOf);
    push_conditions(&mut sql, list.filters, (ids.brand, category));
    if let Some(matching) = &matching {
        sql.push(" and ");
        matching.push_condition(&mut sql);
    }
    push_bounds(&mut sql, &list, matching.as_ref());
    push_limit(&mut sql, u64::from(list.limit) + 1);
    sql.push(" offset ").push(skipped);
    sql.build().persistent(false).fetch_all(connection).await
}

/// Appends where the page begins, and the order.
pub(super) fn push_bounds(
    sql: &mut QueryBuilder<Postgres>,
    list: &ListQuery<'_>,
    matching: Option<&Matching>,
) {
    if let Some(column) = list.sort.column() {
        let key = format!("p.{column}");
        push_after(sql, list.sort, list.bounds, &key, "p.id");
        push_order(sql, list.sort, &key, "p.id");
        return;
    }
    if let Bounds::After { key, id } = list.bounds {
        sql.push(" and (");
        push_key(sql, list, matching);
        sql.push(", p.id)").push(list.sort.beyond()).push("(");
        list.sort.push_key(sql, key);
        sql.push(", ").push_bind(id).push(")");
    }
    push_order(sql, list.sort, "sort_key", "p.id");
}

/// Appends the sort key: a column, or the rank of a search.
pub(super) fn push_key(sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>, matching: Option<&Matching>) {
    match (list.sort.column(), matching) {
        (Some(column), _) => {
            sql.push("p.").push(column);
        }
        (None, Some(matching)) => matching.push_rank(sql),
        // A list without words is never sorted by relevance.
        (None, None) => {
            sql.push("0::bigint");
        }
    }
}

/// A matching in the statement of a list.
impl Matching {
    /// Appends the joins to `products p`.
    pub fn push_join(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Like(_) => {}
            Self::Words(_) | Self::Similar(_) => {
                sql.push(" join search_rows s on s.product_id = p.id");
            }
        }
    }

    /// Appends the condition.
    pub fn push_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Like(pattern) => pattern.push_condition(sql),
            Self::Words(_) | Self::Similar(_) => {
                // In a subquery the text is parsed once, not once per row.
                sql.push("s.document @@ (select ");
                self.push_query(sql);
                sql.push(")");
            }
        }
    }

    /// Appends the rank, a `bigint`. Higher is better.
    pub fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Like(pattern) => pattern.push_rank(sql),
            Self::Words(_) | Self::Similar(_) => {
                sql.push("p.sales_count + case when s.document @@ (select title_query(");
                self.push_query(sql);
                sql.push(")) then ").push(TITLE_MATCH).push(" else 0 end");
            }
        }
    }

    fn push_query(&self, sql: &mut QueryBuilder<Postgres>) {
        let (function, text) = match self {
            Self::Like(_) => return,
            Self::Words(words) => ("to_tsquery('pg_catalog.english', ", &words.all),
            Self::Similar(similar) => ("corrected_query(", similar.text()),
        };
        sql.push(function).push_bind(text.clone()).push(")");
    }
}
