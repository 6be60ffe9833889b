//! The visible statements of lists that no single index returns in order: those with words, those that
//! `Ids::intersection_query` names, and in a large catalogue those with narrow price limits in another order.
//!
//! The inverted index knows which products match, and an index of the sort order which of them come first. Postgres
//! intersects the two (a `BitmapAnd`), so that only rows which match and lie in the range are read. The range is chosen to
//! hold a page; if it holds less, the next one is larger. So a page costs about the same for rare and common words, in a
//! small and a large catalogue. Only when most products match is it cheaper to walk the list without its words and to look up
//! each product. All this applies to the lexeme of a category or a brand as to a word.

mod statements;

use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row, ValueRef};

use super::estimate::{Estimate, corrected_density, share_with};
use super::ranges::{Ranges, share_between_prices};
use super::visible::{Ids, has_other_prices};
use super::{Bounds, ListQuery};
use crate::catalog::search::full_text::{TITLE_MATCH, TextQuery};
use crate::catalog::search::indexed_search::{IndexedSearch, Part};
use crate::catalog::search_statistics::{SearchStatistics, Statistics};
use crate::catalog::sort::Sort;
use crate::database::InstrumentedConnection;

/// Up to this many expected matches are all ranked by relevance.
const MAX_RANKED: f64 = 100.0;

/// Up to this many expected matches are all read. For so few, the planner would not intersect the inverted index with a
/// range: the range's index alone costs more than reading them.
const MAX_READ_WHOLE: f64 = 300.0;

/// The planner takes words for independent, and knows only the most common ones that begin with a prefix. So more products
/// may match than it expects. What was expected to be few is abandoned after this many matches, and a smaller range is read.
const MAX_UNEXPECTED: u64 = 1_000;

/// So many matches have to be expected in what was read before finding fewer says that the estimate is wrong.
const MIN_EXPECTED: f64 = 20.0;

/// The planner's default for a query that it doesn't see, as a share of all products.
const HIDDEN_SHARE: f64 = 0.005;

/// The most rows that are expected to be discarded by the filter of a prefix. Words and orders may be correlated, so there
/// may be several times as many.
const MAX_FILTERED: f64 = 300.0;

/// Reads a page. The rows match the query and have the lexemes; `ids` are conditions that a walk of an order has as well.
pub(super) async fn read(
    connection: &mut InstrumentedConnection<'_>,
    statistics: &SearchStatistics,
    list: ListQuery<'_>,
    ids: Ids<'_>,
    query: &TextQuery,
    lexemes: &str,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let statistics = statistics.get(connection).await?;
    let mut page = IntersectionPage {
        statistics: &statistics,
        list,
        ids,
        search: IndexedSearch::new(query, lexemes),
        reads_whole: false,
        is_doubtful: false,
    };
    let estimate = page.estimate(connection).await?;
    let is_relevance = list.sort == Sort::Relevance;
    let estimate = match page.read_all_matches(connection, estimate).await? {
        AllMatches::Rows(rows) => return Ok(rows),
        AllMatches::TooMany(estimate) if !is_relevance => {
            return page.read(connection, estimate).await;
        }
        AllMatches::TooMany(estimate) => estimate,
    };
    if estimate.rows <= MAX_RANKED {
        return page.read(connection, estimate).await;
    }
    // Too many to rank them all: the best-selling of those with the words in the title, then of the others.
    let mut rows = Vec::new();
    if !matches!(list.bounds, Bounds::After { key, .. } if key < TITLE_MATCH) {
        rows = page.read_part(connection, Part::InTitle).await?;
    }
    if (rows.len() as u64) < wanted(&list) {
        if matches!(list.bounds, Bounds::After { key, .. } if key >= TITLE_MATCH) {
            page.list.bounds = Bounds::Start;
        }
        page.list.limit -= rows.len() as u32;
        rows.extend(page.read_part(connection, Part::NotInTitle).await?);
    }
    Ok(rows)
}

/// Reads a page of the products within price limits, in another order. `None` unless it costs less than half
/// of walking one index.
pub(super) async fn read_between_prices(
    connection: &mut InstrumentedConnection<'_>,
    statistics: &SearchStatistics,
    list: ListQuery<'_>,
) -> Result<Option<Vec<PgRow>>, sqlx::Error> {
    let statistics = statistics.get(connection).await?;
    let estimate = Estimate::of_rows(share_between_prices(&statistics, list.filters) * statistics.products);
    let share = Ranges::new(&statistics, list.sort, list.bounds, list.filters)
        .next(share_with(wanted(&list) as f64, 0.0, estimate.rows, 0.0, 0.0))
        .share;
    if !estimate.is_intersection_cheaper(wanted(&list), share, &statistics) {
        return Ok(None);
    }
    let page = IntersectionPage {
        statistics: &statistics,
        list,
        ids: Ids::default(),
        search: IndexedSearch::default(),
        reads_whole: false,
        is_doubtful: true,
    };
    let rows = page
        .read_ranges(connection, estimate, estimate.rows, Vec::new())
        .await?;
    Ok(Some(rows))
}

/// The page, and the row that tells whether the list goes on. No plan is kept, so that the number may be any.
fn wanted(list: &ListQuery<'_>) -> u64 {
    u64::from(list.limit) + 1
}

/// The outcome of reading all matches, where few are expected.
enum AllMatches {
    Rows(Vec<PgRow>),
    /// With the corrected estimate.
    TooMany(Estimate),
}

/// A page to read.
#[derive(Clone, Copy)]
struct IntersectionPage<'a> {
    statistics: &'a Statistics,
    list: ListQuery<'a>,
    ids: Ids<'a>,
    search: IndexedSearch<'a>,
    /// Whether the range is the whole order.
    reads_whole: bool,
    /// Whether there may be far fewer matches than estimated: the planner takes prices and categories for independent, and
    /// knows only the most common words that begin with a prefix.
    is_doubtful: bool,
}

impl<'a> IntersectionPage<'a> {
    /// What the planner expects.
    async fn estimate(&self, connection: &mut InstrumentedConnection<'_>) -> Result<Estimate, sqlx::Error> {
        let mut sql = QueryBuilder::new("explain (format json) select from search_rows s where s.active");
        self.search.push(&mut sql);
        self.push_filters(&mut sql);
        sql.push(" union all select from search_rows s where true");
        self.search.push(&mut sql);
        sql.push(" union all select from search_rows s where s.active");
        if !self.search.lexemes.is_empty() {
            sql.push(" and s.document @@ ")
                .push_bind(self.search.lexemes.to_owned())
                .push("::text::tsquery");
        }
        self.push_filters(&mut sql);
        if self.search.has_prefix_and_others() {
            self.search.push_parts(&mut sql);
        }
        Estimate::read(&mut sql, connection).await
    }

    /// The page of one part of the matches.
    async fn read_part(
        mut self,
        connection: &mut InstrumentedConnection<'_>,
        part: Part,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        self.search.part = part;
        let estimate = self.estimate(connection).await?;
        match self.read_all_matches(connection, estimate).await? {
            AllMatches::Rows(rows) => Ok(rows),
            AllMatches::TooMany(estimate) => self.read(connection, estimate).await,
        }
    }

    /// Reads all matches, if few are expected. When there are more than [`MAX_UNEXPECTED`], the planner doesn't see the
    /// words from then on: it would trust the same estimate again.
    async fn read_all_matches(
        &mut self,
        connection: &mut InstrumentedConnection<'_>,
        estimate: Estimate,
    ) -> Result<AllMatches, sqlx::Error> {
        if estimate.matched > MAX_READ_WHOLE {
            return Ok(AllMatches::TooMany(estimate));
        }
        self.plan_prefix(estimate, 1.0);
        let mut rows = self
            .all_matches()
            .build()
            .persistent(false)
            .fetch_all(connection)
            .await?;
        if matches_of(rows.first())? > MAX_UNEXPECTED {
            self.search.hides_words = true;
            self.search.filters_prefix = false;
            return Ok(AllMatches::TooMany(estimate.at_least(MAX_UNEXPECTED as f64)));
        }
        // Without any, the number of matches is a row of its own.
        if let [row] = &rows[..]
            && row.try_get_raw("sort_key")?.is_null()
        {
            rows.clear();
        }
        Ok(AllMatches::Rows(rows))
    }

    fn plan_prefix(&mut self, estimate: Estimate, share: f64) {
        let expected = [estimate.prefix, estimate.others, estimate.matched];
        self.search.plan_prefix(MAX_FILTERED, expected, share);
    }

    async fn read(
        mut self,
        connection: &mut InstrumentedConnection<'_>,
        estimate: Estimate,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let wanted = wanted(&self.list);
        // An order by price is bounded by the limits of the price: within them, they exclude nothing.
        let density = match self.list.sort {
            Sort::PriceAsc | Sort::PriceDesc => estimate.matched,
            _ => estimate.rows,
        };
        let mut page = Vec::new();
        let is_ranked = self.list.sort == Sort::Relevance && self.search.part == Part::All;
        let least = estimate.least_in_range();
        let needed = share_with(wanted as f64, least, density, 0.0, 0.0).min(1.0);
        // The first range may be smaller, before a value that is divided, or larger than needed.
        let share = self.ranges(&page)?.next(needed).share.max(needed);
        // Merged categories have several entries for each product that is walked, and no order is indexed for what is sold out.
        let can_walk = !is_ranked && self.ids.merged().is_none() && self.list.filters.in_stock != Some(false);
        let walk = if can_walk {
            estimate.one_by_one(wanted, share, self.statistics)
        } else {
            None
        };
        let has_other_prices = has_other_prices(self.list.filters, self.list.sort);
        // Only in the first range, which is expected to be sufficient.
        self.search.filters_words =
            walk.is_some() && has_other_prices && estimate.is_scan_cheaper(wanted, share, self.statistics);
        if let Some(limit) = walk
            && !self.search.filters_words
        {
            page = self.walk(connection, limit).await?;
            if page.len() as u64 >= wanted {
                return Ok(page);
            }
            // The list may end there; the ranges tell.
        }
        self.reads_whole = !self.search.filters_words
            && estimate.rows < MAX_UNEXPECTED as f64
            && estimate.is_whole_cheaper(share, self.statistics);
        // The limits of the price are in an index of their own.
        let visited = share * density / estimate.matched;
        self.plan_prefix(estimate, if self.reads_whole { 1.0 } else { visited });
        // The planner knows only the most common words that begin with a prefix. There may be many more of which it expects
        // few, and then it would read all their rows instead of intersecting them with the range.
        let hides_prefix = self.search.has_prefix()
            && !self.search.filters_prefix
            && !self.search.hides_words
            && estimate.matched < self.statistics.products * HIDDEN_SHARE;
        self.search.hides_words |= hides_prefix;
        self.is_doubtful = hides_prefix || has_other_prices;
        self.read_ranges(connection, estimate, density, page).await
    }

    /// The ranges behind a page that is not yet full.
    fn ranges(&self, page: &[PgRow]) -> Result<Ranges<'a>, sqlx::Error> {
        let statistics = match self.list.sort {
            // The order of the rank has no index.
            Sort::Relevance if self.search.part == Part::All => Statistics::none(),
            _ if self.reads_whole => Statistics::none(),
            _ => self.statistics,
        };
        let list = self.ordered(after_last(&self.list, page)?);
        Ok(Ranges::new(statistics, list.sort, list.bounds, list.filters))
    }

    /// Completes a page, range by range.
    async fn read_ranges(
        mut self,
        connection: &mut InstrumentedConnection<'_>,
        estimate: Estimate,
        mut density: f64,
        mut page: Vec<PgRow>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let list = self.list;
        let wanted = wanted(&list) as usize;
        let mut can_be_whole = self.is_doubtful && !self.search.filters_words;
        let hides_words = self.search.hides_words;
        let least = estimate.least_in_range();
        let mut begins_whole = self.reads_whole;
        let mut ranges = self.ranges(&page)?;
        let (mut found, mut share_read) = (0.0, 0.0);
        loop {
            let missing = (wanted - page.len()) as f64;
            let begin = ranges.clone();
            let rest = after_last(&list, &page)?;
            let share = share_with(missing, least, density, found, share_read);
            let mut range = ranges.next(share);
            if can_be_whole && share_read * density >= MIN_EXPECTED {
                // The others may be so few that all are read.
                let rows = corrected_density(density, found, share_read);
                self.reads_whole = rows < MAX_UNEXPECTED as f64
                    && estimate.is_rest_cheaper(range.share, rows, self.statistics);
                if self.reads_whole {
                    self.search.hides_words = false;
                    self.search.filters_prefix = false;
                    range = self.ranges(&page)?.next(1.0);
                }
            }
            let is_small = density * range.share.min(1.0) < MAX_UNEXPECTED as f64 / 2.0;
            let is_bounded = self.reads_whole || is_small;
            let mut rows = self.read_range(connection, &rest, range, is_bounded).await?;
            if matches_of(rows.first())? > MAX_UNEXPECTED {
                // A range without a known share says nothing of the others.
                density = (MAX_UNEXPECTED as f64 / range.share)
                    .max(density)
                    .min(self.statistics.products);
                can_be_whole = false;
                (found, share_read) = (0.0, 0.0);
                if self.reads_whole {
                    // The planner would trust its estimate again.
                    self.search.hides_words = hides_words || self.search.has_prefix();
                    self.reads_whole = false;
                }
                ranges = match begins_whole {
                    true => self.ranges(&page)?,
                    false => begin,
                };
                begins_whole = false;
                range = ranges.next(share_with(missing, 0.0, density, 0.0, 0.0));
                rows = self.read_range(connection, &rest, range, false).await?;
            }
            self.search.filters_words = false;
            share_read += range.share;
            found += rows.len() as f64;
            page.extend(rows);
            if page.len() >= wanted || range.is_last() {
                return Ok(page);
            }
        }
    }
}

/// How many matches a bounded range had.
fn matches_of(row: Option<&PgRow>) -> Result<u64, sqlx::Error> {
    row.map_or(Ok(0), |row| Ok(row.try_get::<i64, _>("matches")?.cast_unsigned()))
}

/// What is missing in a page that is not yet full.
fn after_last<'a>(list: &ListQuery<'a>, page: &[PgRow]) -> Result<ListQuery<'a>, sqlx::Error> {
    let mut rest = *list;
    if let Some(last) = page.last() {
        rest.bounds = Bounds::After {
            key: list.sort.key_of(last)?,
            id: last.try_get("id")?,
        };
        rest.limit -= page.len() as u32;
    }
    Ok(rest)
}
