//! The visible statements of a list with words.
//!
//! Rare words are looked up in the inverted index, and the page is chosen from the rows that it leads to: as many as match.
//! Common words walk the index of the order and look at each product's document, until the page is full: the more products
//! match, the fewer are looked at. Where both cost the same is the worst case, and grows with the square root of the catalogue.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::estimate::Estimate;
use super::visible::{Ids, push_cut, push_page_columns, push_page_end, rows};
use super::{Bounds, ListQuery, push_after, push_order, push_price_and_stock};
use crate::catalog::search::full_text::{TITLE_MATCH, TextQuery};
use crate::catalog::sort::Sort;
use crate::database::Session;

/// Which of the products that match: by relevance, those whose title has the words come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    InTitle,
    NotInTitle,
}

/// The condition of a list with words.
struct Condition<'a> {
    query: &'a TextQuery,
    /// Lexemes of the brand and the categories; empty without.
    filter: String,
    part: Part,
}

/// Reads a page.
pub(super) async fn read(
    session: &mut Session<'_>,
    list: ListQuery<'_>,
    ids: Ids<'_>,
    query: &TextQuery,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut condition = Condition {
        query,
        filter: lexemes(ids),
        part: Part::All,
    };
    let estimate = estimate(session, &list, &condition).await?;
    if !estimate.favours_walk(&list) {
        return read_matches(session, &list, &condition).await;
    }
    if list.sort != Sort::Relevance || list.bounds.skipped() > 0 {
        return walk(session, &list, &condition, estimate).await;
    }
    // Too many to rank them all: the best-selling of those that have the words in the title, then of the others.
    let wanted = rows(list.limit) as usize;
    let mut page = Vec::new();
    if !matches!(list.bounds, Bounds::After { key, .. } if key < TITLE_MATCH) {
        condition.part = Part::InTitle;
        let estimate = self::estimate(session, &list, &condition).await?;
        page = match estimate.favours_walk(&list) {
            true => walk(session, &list, &condition, estimate).await?,
            false => read_matches(session, &list, &condition).await?,
        };
    }
    if page.len() < wanted {
        condition.part = Part::NotInTitle;
        let bounds = match list.bounds {
            Bounds::After { key, .. } if key >= TITLE_MATCH => Bounds::Start,
            bounds => bounds,
        };
        page.extend(walk(session, &ListQuery { bounds, ..list }, &condition, estimate).await?);
        page.truncate(wanted);
    }
    Ok(page)
}

/// Brand and categories as a text query of the lexemes that stand for them.
fn lexemes(ids: Ids<'_>) -> String {
    let mut text = String::new();
    if let Some(brand) = ids.brand {
        text.push_str(&format!("'b:{brand}'"));
    }
    if let Some(categories) = ids.categories {
        let any = categories
            .iter()
            .map(|id| format!("'c:{id}'"))
            .collect::<Vec<_>>()
            .join("|");
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&format!("({any})"));
    }
    text
}

/// What the planner expects, from its statistics.
async fn estimate(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
) -> Result<Estimate, sqlx::Error> {
    let mut sql = QueryBuilder::new("explain (format json) select from search_rows s where s.active");
    condition.push(&mut sql);
    push_price_and_stock(&mut sql, list.filters, "s");
    sql.push(" union all select from search_rows");
    Estimate::read(&mut sql, session).await
}

/// The rows that the inverted index leads to, the first of them.
async fn read_matches(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut sql = QueryBuilder::new("");
    push_page_columns(&mut sql, list.columns);
    sql.push("select k.sort_key, k.id from (select ");
    condition.push_key(&mut sql, list.sort);
    sql.push(" as sort_key, s.product_id as id from search_rows s where s.active");
    condition.push(&mut sql);
    push_price_and_stock(&mut sql, list.filters, "s");
    sql.push(") k where true");
    push_after(&mut sql, list.sort, list.bounds, "k.sort_key", "k.id");
    push_order(&mut sql, list.sort, "k.sort_key", "k.id");
    push_cut(&mut sql, list);
    push_page_end(&mut sql, list.sort);
    sql.build().persistent(false).fetch_all(session).await
}

/// The index of the order, for so long until the page is full. The walk is bounded: words may be common, and missing just
/// where the order begins.
async fn walk(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
    estimate: Estimate,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let column = list.sort.column().unwrap_or("sales_count");
    let key = match condition.part {
        Part::InTitle => format!("p.{column} + {TITLE_MATCH}"),
        _ => format!("p.{column}"),
    };
    let mut sql = QueryBuilder::new("");
    push_page_columns(&mut sql, list.columns);
    sql.push("select w.sort_key, w.id from (select ")
        .push(&key)
        .push(" as sort_key, p.id from products p where p.active");
    push_price_and_stock(&mut sql, list.filters, "p");
    let bounds = match (list.bounds, condition.part) {
        (Bounds::After { matching, key, id }, Part::InTitle) => Bounds::After {
            matching,
            key: key - TITLE_MATCH,
            id,
        },
        (bounds, _) => bounds,
    };
    push_after(&mut sql, list.sort, bounds, &format!("p.{column}"), "p.id");
    push_order(&mut sql, list.sort, &format!("p.{column}"), "p.id");
    sql.push(" limit ")
        .push(estimate.walked_at_most(list))
        .push(") w cross join lateral (select from search_rows s where s.product_id = w.id");
    condition.push(&mut sql);
    // With its own limit, the look-up stays one: joined, the planner might match all products first.
    sql.push(" limit 1) s");
    push_order(&mut sql, list.sort, "w.sort_key", "w.id");
    push_cut(&mut sql, list);
    push_page_end(&mut sql, list.sort);
    let page = sql.build().persistent(false).fetch_all(&mut *session).await?;
    if page.len() as u64 == rows(list.limit) {
        return Ok(page);
    }
    read_matches(session, list, condition).await
}

impl Condition<'_> {
    /// Without a word that counts, nothing matches; the brand alone must not.
    fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(" and numnode(");
        self.query.push(sql);
        sql.push(") > 0 and s.document @@ (");
        self.query.push(sql);
        if !self.filter.is_empty() {
            sql.push(" && ")
                .push_bind(self.filter.clone())
                .push("::text::tsquery");
        }
        match self.part {
            Part::All => {}
            Part::InTitle => {
                sql.push(" && title_query(");
                self.query.push(sql);
                sql.push(")");
            }
            Part::NotInTitle => {
                sql.push(" && !!title_query(");
                self.query.push(sql);
                sql.push(")");
            }
        }
        sql.push(")");
    }

    fn push_key(&self, sql: &mut QueryBuilder<Postgres>, sort: Sort) {
        match (sort.column(), self.part) {
            (Some(column), _) => {
                sql.push("s.").push(column);
            }
            (None, Part::All) => {
                sql.push("s.sales_count + case when s.document @@ title_query(");
                self.query.push(sql);
                sql.push(") then ").push(TITLE_MATCH).push(" else 0 end");
            }
            (None, Part::InTitle) => {
                sql.push("s.sales_count + ").push(TITLE_MATCH);
            }
            (None, Part::NotInTitle) => {
                sql.push("s.sales_count");
            }
        }
    }
}
