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

use super::{Bounds, ListQuery, push_after, push_order};
use crate::catalog::filters::push_subtree;
use crate::catalog::search::Matching;
use crate::database::InstrumentedConnection;

/// See the module.
pub(super) async fn read(
    connection: &mut InstrumentedConnection<'_>,
    list: ListQuery<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let matching = list.filters.q.as_deref().map(|text| match list.matching {
        0 => Some(list.search.matching(text)),
        _ => list.search.second_matching(text),
    });
    let matching = match matching {
        None => None,
        Some(Some(matching)) => Some(matching),
        // There is nothing to match the text with.
        Some(None) => return Ok(Vec::new()),
    };
    let mut sql = compose(&list, matching.as_ref());
    sql.build().fetch_all(connection).await
}

fn compose(list: &ListQuery<'_>, matching: Option<&Matching>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("");
    if let Some(category) = &list.filters.category {
        push_subtree(&mut sql, category);
        // A page of each category below, and of these the first: each is read in its index's order, where one condition
        // over all of them would read and sort all their products.
        sql.push("select products.* from subtree cross join lateral (");
        push_products(&mut sql, list, matching);
        sql.push(" limit ").push(list.bounds.skipped() + rows(list));
        sql.push(") products");
        push_order(&mut sql, list.sort, "products.sort_key", "products.id");
    } else {
        push_products(&mut sql, list, matching);
    }
    // Limits are written out, not bound: with an unknown limit the planner assumes a tenth of the table.
    sql.push(" limit ").push(rows(list));
    if list.bounds.skipped() > 0 {
        sql.push(" offset ").push(list.bounds.skipped());
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
    list.filters.push_conditions(sql, matching);
    if list.filters.category.is_some() {
        sql.push(" and p.category_id = subtree.id");
    }
    match list.sort.column() {
        Some(column) => {
            push_after(sql, list.sort, list.bounds, &format!("p.{column}"), "p.id");
            // An order by the key's own expression can use its index.
            push_order(sql, list.sort, &format!("p.{column}"), "p.id");
        }
        None => {
            if let Bounds::After { key, id, .. } = list.bounds {
                sql.push(" and (");
                push_key(sql, list, matching);
                sql.push(", p.id)").push(list.sort.beyond()).push("(");
                list.sort.push_key(sql, key);
                sql.push(", ").push_bind(id).push(")");
            }
            push_order(sql, list.sort, "sort_key", "p.id");
        }
    }
}

fn push_key(sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>, matching: Option<&Matching>) {
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
