//! What the planner expects of a list with words, asked with `explain`: it answers from statistics and runs nothing. From
//! that follows which shape of the list's statement reads the fewest pages.
//!
//! The costs are shared buffers, counted with `explain (analyze, buffers)` on 200,000 products of the generator.

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use crate::database::Session;

/// Looking a product up in the hash index: 774 pages for 700 products, as some buckets have an overflow page.
const PAGES_A_LOOKUP: f64 = 1.1;

/// An entry of the index of an order: 225 pages for 1,000 of them. Few are the index's own; an index-only scan also looks at
/// the visibility map, and at another page of it where the next row of the table is far away.
const PAGES_AN_ENTRY: f64 = 0.23;

/// Entries that are read for each product, where the orders of several categories are merged.
pub(super) const ENTRIES_MERGED: f64 = 4.0;

/// And where only what is sold out is listed: one product in 25, and no order has an index of these alone.
pub(super) const ENTRIES_SOLD_OUT: f64 = 25.0;

/// A match's row: 6,817 pages for 7,414 matches, since six rows share a page.
const PAGES_A_MATCH: f64 = 0.95;

/// Up to so many products are looked up one by one, which stops at the page's last row and takes one statement. From there
/// on the inverted index is read beside, and only matches are visited: half the pages, in more statements.
const ONE_BY_ONE: f64 = 200.0;

/// How many times as many products as expected are looked up one by one before that is given up.
const PATIENCE: f64 = 2.0;

/// The most products of a chunk. A walk that finds too little is noticed after one.
const MAX_CHUNK: f64 = 500.0;

/// The fewest: each takes two statements.
const MIN_CHUNK: f64 = 60.0;

/// The first chunk, which shows whether the words are where the order begins.
const FIRST_CHUNK: f64 = 300.0;

/// A chunk has room for so much more than is expected, so that it is the last more often than not.
const MARGIN: f64 = 1.05;

/// For how many found products the estimate counts beside those that a walk has found. More of them go on too long where the
/// words aren't, fewer give up too early: of 48 lists with words near the crossing, this took the fewest pages.
const TRUST: f64 = 4.0;

/// Rows, as the planner expects them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// Products that are in the list.
    pub(super) rows: f64,
    /// Products that the inverted index leads to: prices are not in it.
    pub(super) matched: f64,
    /// Products that would be in the list without its words.
    pub(super) without_words: f64,
    /// Entries of the order's index that are read for each product that is walked.
    pub(super) entries: f64,
}

/// How the page of a list with words is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// From all products that the inverted index leads to.
    Matches,
    /// From the list without its words: so many of its products are looked up one by one.
    OneByOne(u64),
    /// From the list without its words: the next so many of its products are intersected with the inverted index.
    Chunk(u64),
}

impl Estimate {
    /// Runs `explain (format json) select … union all select … union all select …`: the list, what its words lead to, and
    /// the list without its words.
    pub(super) async fn read(
        sql: &mut QueryBuilder<Postgres>,
        session: &mut Session<'_>,
        entries: f64,
    ) -> Result<Self, sqlx::Error> {
        let row = sql.build().persistent(false).fetch_one(session).await?;
        let Json(plan) = row.try_get::<Json<Value>, _>(0)?;
        Ok(Self::of(&plan[0]["Plan"], entries))
    }

    fn of(plan: &Value, entries: f64) -> Self {
        // Should the server let several processes work on a statement, what each of them does is below.
        let append = match plan["Node Type"] == "Gather" {
            true => &plan["Plans"][0],
            false => plan,
        };
        let rows_of = |plan: &Value| plan["Plan Rows"].as_f64().unwrap_or(1.0).max(1.0);
        // A condition that can't hold is left out.
        match append["Plans"].as_array().map(Vec::as_slice) {
            Some([list, words, without_words]) if append["Node Type"] == "Append" => Self {
                rows: rows_of(list),
                matched: rows_of(words),
                without_words: rows_of(without_words),
                entries,
            },
            _ => Self {
                rows: 1.0,
                matched: 1.0,
                without_words: rows_of(append),
                entries,
            },
        }
    }

    /// The shape that reads the fewest pages for so many rows.
    pub(super) fn shape(self, wanted: u64) -> Shape {
        let walked = (wanted as f64 * self.without_words / self.rows).min(self.without_words);
        if walked <= ONE_BY_ONE
            && self.entries <= 1.0
            && walked * (self.pages_a_product() + 1.0) < self.pages_of_matches()
        {
            Shape::OneByOne((walked * PATIENCE) as u64 + 1)
        } else if walked * self.pages_a_product() < self.pages_of_matches() {
            Shape::Chunk((walked * MARGIN).min(FIRST_CHUNK) as u64 + 1)
        } else {
            Shape::Matches
        }
    }

    /// The next shape when so many were found in a walk that hasn't filled the page: words may be missing just where the
    /// order begins, and some are never together. What was found corrects the estimate.
    pub(super) fn next_shape(self, walked: u64, found: u64, wanted: u64) -> Shape {
        let a_match = (walked as f64 + TRUST * self.without_words / self.rows) / (found as f64 + TRUST);
        let further = wanted.saturating_sub(found) as f64 * a_match;
        // The list may end before. Where it is longer than expected, nothing is known of its end.
        let left = match self.without_words - walked as f64 {
            left if left > 0.0 => left,
            _ => f64::INFINITY,
        };
        if further.min(left) * self.pages_a_product() < self.pages_of_matches() {
            Shape::Chunk((further * MARGIN).clamp(MIN_CHUNK, MAX_CHUNK) as u64)
        } else {
            Shape::Matches
        }
    }

    fn pages_a_product(self) -> f64 {
        PAGES_A_LOOKUP + PAGES_AN_ENTRY * self.entries
    }

    fn pages_of_matches(self) -> f64 {
        PAGES_A_MATCH * self.matched
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn estimate(rows: f64, matched: f64, without_words: f64) -> Estimate {
        Estimate {
            rows,
            matched,
            without_words,
            entries: 1.0,
        }
    }

    /// Of 200,000 products, so many match.
    fn words(matched: f64) -> Estimate {
        estimate(matched, matched, 200_000.0)
    }

    #[test]
    fn rare_words_are_fetched_and_common_words_walk_the_order() {
        assert_eq!(words(8.0).shape(21), Shape::Matches);
        assert_eq!(words(2_000.0).shape(21), Shape::Matches);
        assert_eq!(words(3_000.0).shape(21), Shape::Chunk(301));
        assert_eq!(words(50_000.0).shape(21), Shape::OneByOne(169));
    }

    #[test]
    fn both_shapes_cost_the_same_where_they_cross() {
        for (wanted, crossing, pages) in [(21, 2_425.0, 2_310.0), (101, 5_318.0, 5_060.0)] {
            assert_eq!(words(crossing - 10.0).shape(wanted), Shape::Matches);
            assert_eq!(words(crossing + 10.0).shape(wanted), Shape::Chunk(301));
            assert!((words(crossing).pages_of_matches() - pages).abs() < 10.0);
        }
    }

    #[test]
    fn a_short_list_is_walked_to_its_end() {
        assert_eq!(estimate(10.0, 50_000.0, 150.0).shape(21), Shape::OneByOne(301));
        assert_eq!(estimate(10.0, 50_000.0, 700.0).shape(21), Shape::Chunk(301));
        assert_eq!(
            estimate(10.0, 50_000.0, 700.0).next_shape(301, 0, 21),
            Shape::Chunk(500)
        );
    }

    #[test]
    fn a_subtree_of_many_categories_costs_more_entries() {
        let subtree = Estimate {
            entries: ENTRIES_MERGED,
            ..words(2_800.0)
        };
        assert_eq!(words(2_800.0).shape(21), Shape::Chunk(301));
        assert_eq!(subtree.shape(21), Shape::Matches);
    }

    #[test]
    fn what_is_sold_out_is_rarely_walked() {
        let sold_out = Estimate {
            entries: ENTRIES_SOLD_OUT,
            ..estimate(300.0, 300.0, 800.0)
        };
        assert_eq!(estimate(300.0, 300.0, 800.0).shape(21), Shape::OneByOne(113));
        assert_eq!(sold_out.shape(21), Shape::Matches);
    }

    #[test]
    fn a_walk_that_finds_less_than_expected_is_given_up() {
        let common = words(8_000.0);
        assert_eq!(common.shape(21), Shape::Chunk(301));
        // As expected: one in 25.
        assert_eq!(common.next_shape(301, 12, 21), Shape::Chunk(236));
        assert_eq!(common.next_shape(301, 5, 21), Shape::Chunk(500));
        // To walk 1,301 costs less than a quarter of what all matches cost.
        assert_eq!(common.next_shape(801, 0, 21), Shape::Chunk(500));
        assert_eq!(common.next_shape(1_301, 0, 21), Shape::Matches);
    }

    #[test]
    fn a_list_that_is_longer_than_expected_is_not_walked_for_ever() {
        let short = estimate(100.0, 50_000.0, 400.0);
        assert_eq!(short.next_shape(399, 5, 21), Shape::Chunk(500));
        assert_eq!(short.next_shape(25_000, 5, 21), Shape::Matches);
    }

    #[test]
    fn each_select_is_estimated_by_itself() {
        let plan = json!({"Node Type": "Append", "Plan Rows": 1_400, "Plans": [
            {"Node Type": "Bitmap Heap Scan", "Plan Rows": 70},
            {"Node Type": "Bitmap Heap Scan", "Plan Rows": 500},
            {"Node Type": "Seq Scan", "Plan Rows": 830},
        ]});
        assert_eq!(Estimate::of(&plan, 1.0), estimate(70.0, 500.0, 830.0));
        let gather = json!({"Node Type": "Gather", "Plans": [plan]});
        assert_eq!(Estimate::of(&gather, 1.0), estimate(70.0, 500.0, 830.0));
        let nothing = json!({"Node Type": "Seq Scan", "Plan Rows": 830});
        assert_eq!(Estimate::of(&nothing, 1.0), estimate(1.0, 1.0, 830.0));
    }
}
