//! The visible statements of a list with words.
//!
//! Rare words are looked up in the inverted index, and the page is chosen from the rows that it leads to: as many as match.
//! With common words, the list without its words is walked in its order until the page is full: the more products match, the
//! fewer are walked. What is walked in chunks is intersected with the inverted index, so that of a product that doesn't
//! match only the entry of an index is read. Where both cost the same is the worst case; it grows with the square root of
//! the catalogue, and of the page.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::estimate::{ENTRIES_MERGED, ENTRIES_SOLD_OUT, Estimate, Shape};
use super::visible::{Ids, push_chosen, push_merged, push_page_begin, push_page_end, push_prices};
use super::{Bounds, ListQuery, push_after, push_order};
use crate::catalog::search::full_text::{TITLE_MATCH, TextQuery};
use crate::catalog::sort::Sort;
use crate::database::Session;

/// So many of a brand's products tell how common a category is among them, which the planner doesn't know: brands keep to
/// some categories.
const SAMPLE: i64 = 1_000;

/// Below this, most of what the brand's index is walked for would be filtered out: the matches are few.
const RARE_IN_SAMPLE: i64 = 100;

/// In a chunk of many categories, how many times as many products of each are read as each has on average.
const MORE_OF_EACH: u64 = 3;

/// And how many at least.
const FEWEST_OF_EACH: u64 = 20;

/// Which of the products that match: by relevance, those whose title has the words come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    InTitle,
    NotInTitle,
}

impl Part {
    /// Those that have the words in their title rank above all others by as much.
    fn added(self) -> i64 {
        match self {
            Part::InTitle => TITLE_MATCH,
            Part::All | Part::NotInTitle => 0,
        }
    }
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
    if let (Some(brand), Some(categories)) = (ids.brand, ids.categories)
        && is_rare_in_brand(session, brand, categories).await?
    {
        return read_matches(session, &list, &condition, None).await;
    }
    let estimate = expected(session, &list, &condition).await?;
    let shape = estimate.shape(wanted(&list) + list.bounds.skipped());
    if shape == Shape::Matches || list.sort != Sort::Relevance {
        return read_shape(session, &list, &condition, estimate).await;
    }
    // Ranked by relevance, what is skipped is counted off all matches.
    if list.bounds.skipped() > 0 {
        return read_matches(session, &list, &condition, None).await;
    }
    // Too many to rank them all: the best-selling of those that have the words in the title, then of the others.
    let mut page = Vec::new();
    if !matches!(list.bounds, Bounds::After { key, .. } if key < TITLE_MATCH) {
        condition.part = Part::InTitle;
        let estimate = expected(session, &list, &condition).await?;
        page = read_shape(session, &list, &condition, estimate).await?;
    }
    if (page.len() as u64) < wanted(&list) {
        condition.part = Part::NotInTitle;
        let bounds = match list.bounds {
            Bounds::After { key, .. } if key >= TITLE_MATCH => Bounds::Start,
            bounds => bounds,
        };
        let rest = ListQuery { bounds, ..list };
        page.extend(read_shape(session, &rest, &condition, estimate).await?);
        page.truncate(wanted(&list) as usize);
    }
    Ok(page)
}

/// Whether few of a large brand's products are in the category, judged by the newest ones.
async fn is_rare_in_brand(
    session: &mut Session<'_>,
    brand: Uuid,
    categories: &[Uuid],
) -> Result<bool, sqlx::Error> {
    let sample = sqlx::query_as(
        "select count(*), count(*) filter (where category_id = any($2))
         from (
             select category_id from products
             where active and brand_id = $1
             order by created_at desc, id desc
             limit $3
         ) newest",
    );
    let sample = sample.bind(brand).bind(categories).bind(SAMPLE);
    let (products, of_categories): (i64, i64) = sample.fetch_one(session).await?;
    Ok(products == SAMPLE && of_categories < RARE_IN_SAMPLE)
}

/// The page, and the row that tells whether the list goes on. No plan is kept, so that the number may be any.
fn wanted(list: &ListQuery<'_>) -> u64 {
    u64::from(list.limit) + 1
}

async fn read_shape(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
    estimate: Estimate,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let wanted = wanted(list);
    let skipped = list.bounds.skipped();
    let mut shape = estimate.shape(wanted + skipped);
    let mut page = Vec::new();
    let mut walked = 0;
    if let Shape::OneByOne(limit) = shape {
        page = walk(session, list, condition, limit).await?;
        if page.len() as u64 == wanted {
            return Ok(page);
        }
        walked = limit;
        shape = match estimate.next_shape(walked, page.len() as u64, wanted) {
            // The list may have ended there, and the page be complete: a chunk tells.
            Shape::Matches => Shape::Chunk(limit + 1),
            further => further,
        };
    }
    let mut walking = after_last(list, &page)?;
    // What is skipped is counted off once.
    while let Shape::Chunk(limit) = shape
        && skipped == 0
    {
        let chunk = next_chunk(session, &walking, condition, limit).await?;
        if !chunk.ids.is_empty() {
            // Behind what was found, so that none whose key changes meanwhile comes twice.
            let rest = after_last(list, &page)?;
            page.extend(read_matches(session, &rest, condition, Some(&chunk.ids)).await?);
        }
        let Some(bounds) = chunk.rest.filter(|_| (page.len() as u64) < wanted) else {
            page.truncate(wanted as usize);
            return Ok(page);
        };
        walking.bounds = bounds;
        walked += chunk.ids.len() as u64;
        shape = estimate.next_shape(walked, page.len() as u64, wanted);
    }
    read_matches(session, list, condition, None).await
}

/// What comes after a page that is not yet full.
fn after_last<'a>(list: &ListQuery<'a>, page: &[PgRow]) -> Result<ListQuery<'a>, sqlx::Error> {
    let mut rest = *list;
    if let Some(last) = page.last() {
        rest.bounds = Bounds::After {
            matching: list.matching,
            key: list.sort.key_of(last)?,
            id: last.try_get("id")?,
        };
    }
    Ok(rest)
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
    sql.push(" union all select from search_rows s where true");
    condition.push_words(&mut sql);
    sql.push(" union all select from search_rows s where s.active");
    if !condition.filter.is_empty() {
        sql.push(" and s.document @@ ")
            .push_bind(condition.filter.clone())
            .push("::text::tsquery");
    }
    condition.push_rest(&mut sql, list);
    let entries = match (list.filters.in_stock, condition.ids.merged()) {
        (Some(false), _) => ENTRIES_SOLD_OUT,
        (_, Some(_)) => ENTRIES_MERGED,
        _ => 1.0,
    };
    Estimate::read(&mut sql, session, entries).await
}

/// The rows that the inverted index leads to, the first of them; of these products only, if they are given.
async fn read_matches(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
    of: Option<&[Uuid]>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut sql = QueryBuilder::new("");
    push_page_begin(&mut sql);
    sql.push("select k.sort_key, k.id from (select ");
    condition.push_key(&mut sql, list.sort);
    sql.push(" as sort_key, s.product_id as id from search_rows s where s.active");
    condition.push_words(&mut sql);
    condition.push_rest(&mut sql, list);
    if let Some(ids) = of {
        sql.push(" and s.product_id = any(")
            .push_bind(ids.to_vec())
            .push(")");
    }
    sql.push(") k where true");
    push_after(&mut sql, list.sort, list.bounds, "k.sort_key", "k.id");
    push_order(&mut sql, list.sort, "k.sort_key", "k.id");
    push_cut(&mut sql, list);
    push_page_end(&mut sql, list);
    sql.build().persistent(false).fetch_all(session).await
}

fn push_cut(sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>) {
    sql.push(" limit ").push(wanted(list));
    if list.bounds.skipped() > 0 {
        sql.push(" offset ").push(list.bounds.skipped());
    }
}

/// The list without its words. By relevance, each part of it is in the order of sales.
fn ordered<'a>(list: &ListQuery<'a>, condition: &Condition<'_>) -> ListQuery<'a> {
    let mut ordered = *list;
    if list.sort == Sort::Relevance {
        ordered.sort = Sort::BestSelling;
        if let Bounds::After { key, .. } = &mut ordered.bounds {
            *key -= condition.part.added();
        }
    }
    ordered
}

/// Products of the list without its words.
struct Chunk {
    ids: Vec<Uuid>,
    /// What comes after it; `None` where the list ends.
    rest: Option<Bounds>,
}

/// The next products of the list without its words: so many, or about as many where the orders of categories are merged.
async fn next_chunk(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
    limit: u64,
) -> Result<Chunk, sqlx::Error> {
    let order = ordered(list, condition);
    let merged = condition.ids.merged();
    let mut of_each = limit;
    let mut sql = QueryBuilder::new("");
    match merged {
        Some(subtree) => {
            // Some categories have more of the first products than others.
            of_each = (limit * MORE_OF_EACH / subtree.len() as u64).clamp(FEWEST_OF_EACH.min(limit), limit);
            push_merged(&mut sql, &order, subtree, None, Some(of_each));
        }
        None => push_chosen(&mut sql, &order, condition.ids, None, Some(limit)),
    }
    let mut rows = sql.build().persistent(false).fetch_all(session).await?;
    // Behind the last of a category that may have more, products could be missing.
    let mut counts = vec![0; merged.map_or(1, <[Uuid]>::len)];
    let mut end = None;
    for (place, row) in rows.iter().enumerate() {
        let category = match merged {
            Some(_) => row.try_get::<i64, _>("number")? as usize - 1,
            None => 0,
        };
        counts[category] += 1;
        if counts[category] == of_each {
            end = Some(place);
            break;
        }
    }
    if let Some(place) = end {
        rows.truncate(place + 1);
    }
    let ids = rows
        .iter()
        .map(|row| row.try_get(1))
        .collect::<Result<Vec<Uuid>, _>>()?;
    let rest = match (end.and(rows.last()), ids.last()) {
        (Some(last), Some(id)) => Some(Bounds::After {
            matching: list.matching,
            key: order.sort.key_of(last)? + condition.part.added(),
            id: *id,
        }),
        _ => None,
    };
    Ok(Chunk { ids, rest })
}

/// The list without its words in its order, each product looked up, until the page is full.
async fn walk(
    session: &mut Session<'_>,
    list: &ListQuery<'_>,
    condition: &Condition<'_>,
    limit: u64,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let added = condition.part.added();
    let ordered = ordered(list, condition);
    let mut sql = QueryBuilder::new("");
    push_page_begin(&mut sql);
    sql.push("select w.sort_key");
    if added > 0 {
        sql.push(" + ").push(added).push(" as sort_key");
    }
    sql.push(", w.id from (");
    push_chosen(&mut sql, &ordered, condition.ids, None, Some(limit));
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
        if self.part == Part::InTitle {
            // The words of a title are also those of its product. To ask for both would make the planner expect fewer.
            self.push_title_query(sql);
        } else {
            self.query.push(sql);
        }
        if self.part == Part::NotInTitle {
            sql.push(" && !!");
            self.push_title_query(sql);
        }
        if !self.filter.is_empty() {
            sql.push(" && ")
                .push_bind(self.filter.clone())
                .push("::text::tsquery");
        }
        sql.push(")");
    }

    fn push_title_query(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("title_query(");
        self.query.push(sql);
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
                sql.push("s.sales_count + case when s.document @@ ");
                self.push_title_query(sql);
                sql.push(" then ").push(TITLE_MATCH).push(" else 0 end");
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
