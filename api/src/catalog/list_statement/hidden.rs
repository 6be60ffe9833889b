//! **Technique**: named statements that look up slugs and parse words themselves: `(select id from brands where slug = $1)`,
//! `(select to_tsquery($1))`, and a page of each category of a subtree.
//! **Cost**: no planning once a connection keeps a plan. What is read depends on whether the guess is right.
//! **Fails when**: a value is rarer or more common than the planner assumes: it takes each word for one that 0.5 % of the
//! products have, and each brand for one of average size. A word that few products have walks the whole index of the
//! order; and a search inside the page of a category runs once for each category.
//! **Source**: <https://www.postgresql.org/docs/current/planner-stats.html>,
//! <https://www.postgresql.org/docs/current/sql-prepare.html>, on generic and custom plans.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::whole_order::{push_bounds, push_key};
use super::{ListQuery, push_order, push_prices};
use crate::catalog::filters::ProductFilters;
use crate::catalog::reference::Snapshot;
use crate::catalog::search::Matching;
use crate::catalog::search_statistics::SearchStatistics;
use crate::database::InstrumentedConnection;

/// The arm `planner_estimates=hidden`.
#[derive(Debug, Clone, Copy)]
pub struct Hidden;

impl Hidden {
    /// See the module.
    pub(super) async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        _reference: &Snapshot,
        _statistics: &SearchStatistics,
        list: ListQuery<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        read(connection, &list, 0).await
    }

    pub(super) async fn read_skipping(
        self,
        connection: &mut InstrumentedConnection<'_>,
        _reference: &Snapshot,
        list: ListQuery<'_>,
        skipped: u64,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        read(connection, &list, skipped).await
    }
}

async fn read(
    connection: &mut InstrumentedConnection<'_>,
    list: &ListQuery<'_>,
    skipped: u64,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let matching = match list.filters.q.as_deref() {
        None => None,
        Some(text) => match list.search.matching(text, list.matching) {
            // There is nothing to match the text with.
            None => return Ok(Vec::new()),
            matching => matching,
        },
    };
    let mut sql = compose(list, matching.as_ref(), skipped);
    sql.build().fetch_all(connection).await
}

fn compose(list: &ListQuery<'_>, matching: Option<&Matching>, skipped: u64) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("");
    if let Some(category) = &list.filters.category {
        push_subtree(&mut sql, category);
        // A page of each category below, and of these the first: each is read in its index's order, where one condition
        // over all of them would read and sort all their products.
        sql.push("select products.* from subtree cross join lateral (");
        push_products(&mut sql, list, matching);
        sql.push(" limit ").push(skipped + rows(list));
        sql.push(") products");
        push_order(&mut sql, list.sort, "products.sort_key", "products.id");
    } else {
        push_products(&mut sql, list, matching);
    }
    // Limits are written out, not bound: with an unknown limit the planner assumes a tenth of the table.
    sql.push(" limit ").push(rows(list));
    if skipped > 0 {
        sql.push(" offset ").push(skipped);
    }
    sql
}

fn rows(list: &ListQuery<'_>) -> u64 {
    u64::from(list.limit) + 1
}

fn push_products(sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>, matching: Option<&Matching>) {
    sql.push("select ");
    push_key(sql, list, matching);
    sql.push(" as sort_key, ")
        .push(list.columns)
        .push(" from products p");
    if let Some(matching) = matching {
        matching.push_join(sql);
    }
    push_conditions(sql, list.filters, matching);
    if list.filters.category.is_some() {
        sql.push(" and p.category_id = subtree.id");
    }
    push_bounds(sql, list, matching);
}

/// Opens a statement with the CTE `subtree`: the ids of a category and its descendants.
fn push_subtree(sql: &mut QueryBuilder<Postgres>, category: &str) {
    sql.push("with recursive subtree as (select id from categories where slug = ")
        .push_bind(category.to_owned())
        .push(" union all select c.id from categories c join subtree on c.parent_id = subtree.id) ");
}

/// Appends the conditions on `products p` and on the tables that `matching` joins, except the category's.
fn push_conditions(sql: &mut QueryBuilder<Postgres>, filters: &ProductFilters, matching: Option<&Matching>) {
    sql.push(" where p.active");
    if let Some(matching) = matching {
        sql.push(" and ");
        matching.push_condition(sql);
    }
    if let Some(brand) = &filters.brand {
        sql.push(" and p.brand_id = (select id from brands where slug = ")
            .push_bind(brand.clone())
            .push(")");
    }
    push_prices(sql, filters, "p");
    match filters.in_stock {
        Some(true) => sql.push(" and p.in_stock"),
        Some(false) => sql.push(" and not p.in_stock"),
        None => sql,
    };
}
