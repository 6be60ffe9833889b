//! The visible statements of a list with words.
//!
//! Rare words are looked up in the inverted index, and the page is chosen from the rows that it leads to: as many as match.
//! With common words, the list without its words is walked in its order, and each product's document looked at, until the
//! page is full: the more products match, the fewer are looked at. Where both cost the same is the worst case; it grows with
//! the square root of the catalogue.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::estimate::{Estimate, Shape};
use super::visible::{Ids, push_chosen, push_cut, push_page_begin, push_page_end, push_prices, rows};
use super::{Bounds, ListQuery, push_after, push_order};
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
    ids: Ids<'a>,
    /// Lexemes of the brand, the category and what is sold out; empty without.
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
        ids,
        filter: lexemes(&list, ids),
        part: Part::All,
    };
    let wanted = rows(list.limit);
    let estimate = expected(session, &list, &condition).await?;
    let shape = estimate.shape(wanted + list.bounds.skipped());
    if shape == Shape::Matches || list.sort != Sort::Relevance {
        return read_shape(session, &list, &condition, estimate).await;
    }
    // Ranked by relevance, what is skipped is counted off all matches.
    if list.bounds.skipped() > 0 {
        return read_matches(session, &list, &condition).await;
    }
    // Too many to rank them all: the best-selling of those that have the words in the title, then of the others.
    let mut page = Vec::new();
    if !matches!(list.bounds, Bounds::After { key, .. } if key < TITLE_MATCH) {
        condition.part = Part::InTitle;
        let estimate = expected(session, &list, &condition).await?;
        page = read_shape(session, &list, &condition, estimate).await?;
    }
    if (page.len() as u64) < wanted {
        condition.part = Part::NotInTitle;
        let bounds = match list.bounds {
            Bounds::After { key, .. } if key >= TITLE_MATCH => Bounds::Start,
            bounds => bounds,
        };
        let rest = ListQuery { bounds, ..list };
        page.extend(read_shape(session, &rest, &condition, estimate).await?);
        page.truncate(wanted as usize);
    }
    Ok(page)
}

async fn read_shape(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
    estimate: Estimate,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let wanted = rows(list.limit);
    let mut shape = estimate.shape(wanted + list.bounds.skipped());
    while let Shape::Walk(limit) = shape {
        let page = walk(session, list, condition, limit).await?;
        shape = match limit {
            Some(walked) if (page.len() as u64) < wanted => estimate.after_walk(walked),
            _ => return Ok(page),
        };
    }
    read_matches(session, list, condition).await
}

/// Brand, category and what is sold out, as a text query of the lexemes that stand for them.
fn lexemes(list: &ListQuery<'_>, ids: Ids<'_>) -> String {
    let mut all = Vec::new();
    if let Some(brand) = ids.brand {
        all.push(format!("'b:{brand}'"));
    }
    // A product has the lexemes of all categories above it. The first of a subtree is its root.
    if let Some([category, ..]) = ids.categories {
        all.push(format!("'c:{category}'"));
    }
    if list.filters.in_stock == Some(false) {
        all.push("'o:'".to_owned());
    }
    all.join("&")
}

/// What the planner expects, from its statistics.
async fn expected(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
) -> Result<Estimate, sqlx::Error> {
    let mut sql = QueryBuilder::new("explain (format json) select from search_rows s where s.active");
    condition.push_words(&mut sql);
    condition.push_rest(&mut sql, list);
    sql.push(" union all select from search_rows s where s.active");
    if !condition.filter.is_empty() {
        sql.push(" and s.document @@ ")
            .push_bind(condition.filter.clone())
            .push("::text::tsquery");
    }
    condition.push_rest(&mut sql, list);
    Estimate::read(&mut sql, session).await
}

/// The rows that the inverted index leads to, the first of them.
async fn read_matches(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut sql = QueryBuilder::new("");
    push_page_begin(&mut sql);
    sql.push("select k.sort_key, k.id from (select ");
    condition.push_key(&mut sql, list.sort);
    sql.push(" as sort_key, s.product_id as id from search_rows s where s.active");
    condition.push_words(&mut sql);
    condition.push_rest(&mut sql, list);
    sql.push(") k where true");
    push_after(&mut sql, list.sort, list.bounds, "k.sort_key", "k.id");
    push_order(&mut sql, list.sort, "k.sort_key", "k.id");
    push_cut(&mut sql, list);
    push_page_end(&mut sql, list);
    sql.build().persistent(false).fetch_all(session).await
}

/// The list without its words in its order, until the page is full.
async fn walk(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
    limit: Option<u64>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    // Those that have the words in their title rank above all others by as much.
    let added = match condition.part {
        Part::InTitle => TITLE_MATCH,
        _ => 0,
    };
    let mut ordered = *list;
    if list.sort == Sort::Relevance {
        ordered.sort = Sort::BestSelling;
        if let Bounds::After { key, .. } = &mut ordered.bounds {
            *key -= added;
        }
    }
    let mut sql = QueryBuilder::new("");
    push_page_begin(&mut sql);
    sql.push("select w.sort_key");
    if added > 0 {
        sql.push(" + ").push(added).push(" as sort_key");
    }
    sql.push(", w.id from (");
    push_chosen(&mut sql, &ordered, condition.ids, None, limit);
    sql.push(") w cross join lateral (select from search_rows s where s.product_id = w.id");
    condition.push_words(&mut sql);
    // With its own limit, the look-up stays one: joined, the planner might match all products first.
    sql.push(" limit 1) s");
    push_order(&mut sql, ordered.sort, "w.sort_key", "w.id");
    push_cut(&mut sql, list);
    push_page_end(&mut sql, list);
    sql.build().persistent(false).fetch_all(session).await
}

impl Condition<'_> {
    /// What the inverted index has. Without a word that counts nothing matches; the brand alone must not.
    fn push_words(&self, sql: &mut QueryBuilder<Postgres>) {
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

    /// What it hasn't.
    fn push_rest(&self, sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>) {
        push_prices(sql, list.filters, "s");
        if list.filters.in_stock == Some(true) {
            sql.push(" and s.in_stock");
        }
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
