//! What the planner expects of a list. From that follows how its page is read at the least cost.
//!
//! The costs are shared buffers, counted with `explain (analyze, buffers)` on 200,000 products of the generator. Where a step
//! takes time and few buffers, it counts as the buffers that take as long: a visited row takes 5 µs, and up to 10 µs when its page
//! is not in the processor's cache.

use sqlx::{Postgres, QueryBuilder};

use crate::catalog::search::expected_rows::explain;
use crate::catalog::search::indexed_search::ROWS_A_POSTING;
use crate::catalog::search_statistics::Statistics;
use crate::database::InstrumentedConnection;

/// Looking a product up: 2,704 pages for 1,297 products. One is the hash index's, as few buckets have an overflow page; one
/// is the row's.
const PAGES_A_LOOKUP: f64 = 2.1;

/// An entry of the index of an order. An index-only scan also looks at the visibility map: see
/// [`Statistics::visibility_map_switches`].
const PAGES_AN_ENTRY: f64 = 0.05;

/// An entry of a range's bitmap: 0.12 µs, and a buffer that is visited at random 10 µs.
const PAGES_A_RANGE_ENTRY: f64 = 0.012;

/// The most products that are expected to be looked up one by one. With [`MAX_OVERRUN`], they take less than 2,000 pages.
const MAX_ONE_BY_ONE: f64 = 550.0;

/// A walk is abandoned after this many times the expected number of look-ups.
const MAX_OVERRUN: f64 = 1.5;

/// The weight of the planner's estimate, in products, beside the products that were found in ranges (a prior).
const PRIOR_WEIGHT: f64 = 4.0;

/// The most products that a range is enlarged to, only because its fixed costs are high.
const MAX_LEAST: f64 = 100.0;

/// A range that follows others is at most as many times as large as all of them, or large enough that the estimate expects
/// [`MAX_MORE`] products in it.
const MAX_GROWTH: f64 = 3.0;

/// See [`MAX_GROWTH`].
const MAX_MORE: f64 = 500.0;

/// Rows, as the planner expects them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// Products that are in the list.
    pub(super) rows: f64,
    /// Products that the inverted index leads to: prices are not in it.
    pub(super) matched: f64,
    /// Products that would be in the list without its words.
    pub(super) without_words: f64,
    /// Products with the prefix, whatever the rest of the query is, and with the rest of the query.
    pub(super) prefix: f64,
    pub(super) others: f64,
}

impl Estimate {
    /// Runs `explain (format json) select … union all select … union all select …`: the list, what its words lead to, and
    /// the list without its words. Two more, if there are any: what the prefix leads to, and what the rest does.
    pub(super) async fn read(
        sql: &mut QueryBuilder<Postgres>,
        connection: &mut InstrumentedConnection<'_>,
    ) -> Result<Self, sqlx::Error> {
        let expected = explain(sql, connection).await?;
        let (rows, matched, without_words, prefix, others) = match expected.selects[..] {
            [rows, matched, without_words] => (rows, matched, without_words, 1.0, 1.0),
            [rows, matched, without_words, prefix, others] => (rows, matched, without_words, prefix, others),
            // A condition that can't hold is left out.
            _ => (1.0, 1.0, expected.total, 1.0, 1.0),
        };
        Ok(Self {
            rows,
            matched,
            without_words,
            prefix,
            others,
        })
    }

    /// Of a list with price limits alone.
    pub(super) fn of_rows(rows: f64) -> Self {
        Self {
            rows,
            matched: rows,
            without_words: rows,
            prefix: 1.0,
            others: 1.0,
        }
    }

    /// Whether to intersect this share of the order with the price limits is much cheaper than to walk the index of the order or
    /// that of prices, which one statement does that no estimate can mislead.
    pub(super) fn is_intersection_cheaper(self, wanted: u64, share: f64, statistics: &Statistics) -> bool {
        if self.rows == 0.0 {
            return false;
        }
        let entry = PAGES_AN_ENTRY + statistics.visibility_map_switches;
        let entries_of_order = wanted as f64 * statistics.products / self.rows;
        let visited = with_margin(wanted as f64).max(share * self.rows);
        let intersection = visited + (share * statistics.products + self.rows) * PAGES_A_RANGE_ENTRY;
        2.0 * intersection < entries_of_order.min(self.rows) * entry
    }

    /// What the inverted index returns has its price for each range, so a range with few more matches costs little.
    pub(super) fn least_in_range(self) -> f64 {
        (self.matched * ROWS_A_POSTING * 0.2).min(MAX_LEAST)
    }

    /// The same, for so many matches at least.
    pub(super) fn at_least(self, matched: f64) -> Self {
        let factor = (matched / self.matched).max(1.0);
        Self {
            rows: self.rows * factor,
            matched: self.matched * factor,
            ..self
        }
    }

    /// Whether all rows of the list are read at less cost than this share of the order.
    pub(super) fn is_whole_cheaper(self, share: f64, statistics: &Statistics) -> bool {
        self.cost_of_all(self.rows, statistics) <= self.cost_of_range(share, statistics)
    }

    /// The same, after fewer rows were found than expected, so that there seem to be so many in all. As likely as not, another
    /// range holds too little as well, and all rows are read after it.
    pub(super) fn is_rest_cheaper(self, share: f64, rows: f64, statistics: &Statistics) -> bool {
        self.cost_of_all(rows, statistics) <= 2.0 * self.cost_of_range(share, statistics)
    }

    /// The range of a filter's index is intersected, or its rows are discarded.
    fn cost_of_all(self, rows: f64, statistics: &Statistics) -> f64 {
        (rows + rows / self.matched * statistics.products * PAGES_A_RANGE_ENTRY).min(self.matched)
    }

    fn cost_of_range(self, share: f64, statistics: &Statistics) -> f64 {
        share * (self.matched + statistics.products * PAGES_A_RANGE_ENTRY)
    }

    /// Whether it is cheaper to visit all rows within the price limits in this share of the order than to walk the order. Both
    /// look for the words in each row.
    pub(super) fn is_scan_cheaper(self, wanted: u64, share: f64, statistics: &Statistics) -> bool {
        let (walked, walk) = self.walk_cost(wanted, statistics);
        let entries = share * statistics.products + self.without_words;
        with_margin(walked).max(share * self.without_words) + entries * PAGES_A_RANGE_ENTRY < walk
    }

    /// How many products are looked up on a walk of the order until the page is full, and at what cost.
    fn walk_cost(self, wanted: u64, statistics: &Statistics) -> (f64, f64) {
        let walked = wanted as f64 * self.without_words / self.rows;
        // The filters that the inverted index doesn't have discard entries of the order.
        let entries = walked * self.matched / self.rows;
        let entry = PAGES_AN_ENTRY + statistics.visibility_map_switches;
        (walked, walked * PAGES_A_LOOKUP + entries * entry)
    }

    /// How many products of the order have to be looked up one by one until the page is full, if that costs less than to
    /// read this share of it, or all rows.
    pub(super) fn one_by_one(self, wanted: u64, share: f64, statistics: &Statistics) -> Option<u64> {
        let (walked, walk) = self.walk_cost(wanted, statistics);
        let rows = self.cost_of_all(self.rows, statistics);
        let intersected = self.cost_of_range(share, statistics).min(rows) + self.matched * ROWS_A_POSTING;
        let is_cheaper = walk < intersected;
        (is_cheaper && walked <= MAX_ONE_BY_ONE).then_some((walked * MAX_OVERRUN) as u64 + 1)
    }
}

/// How large a share of the order holds the missing products, but `least` at least, when so many were found in the share that
/// was read. `density` is the expected number of matches in the whole order.
pub(super) fn share_with(missing: f64, least: f64, density: f64, found: f64, read: f64) -> f64 {
    let share = with_margin(missing).max(least) / corrected_density(density, found, read);
    if read == 0.0 {
        return share;
    }
    // Few ranges are read where the words aren't. But where one was nearly empty, the next one may not be.
    let growth = if found == 0.0 { MAX_GROWTH } else { 1.0 };
    share
        .max(read * growth)
        .min((MAX_MORE / density.max(1.0)).max(read * MAX_GROWTH))
}

/// The expected number of matches in the whole order, after so many were found in the share that was read.
pub(super) fn corrected_density(density: f64, found: f64, read: f64) -> f64 {
    (found + PRIOR_WEIGHT) / (read + PRIOR_WEIGHT / density.max(1.0))
}

/// So many are expected in a range that it has the wanted ones with a probability of about 97 % (two standard deviations of
/// a Poisson distribution).
fn with_margin(wanted: f64) -> f64 {
    wanted + 2.0 * wanted.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(rows: f64, matched: f64, without_words: f64) -> Estimate {
        Estimate {
            rows,
            matched,
            without_words,
            prefix: 1.0,
            others: 1.0,
        }
    }

    #[test]
    fn common_words_walk_the_order_and_others_read_a_range() {
        let statistics = Statistics {
            products: 200_000.0,
            ..Statistics::default()
        };
        let one_by_one =
            |matches: f64, share| estimate(matches, matches, 200_000.0).one_by_one(21, share, &statistics);
        assert_eq!(one_by_one(100_000.0, 0.0005), Some(64));
        assert_eq!(one_by_one(8_000.0, 0.004), None);
        // A band may be larger than what is needed of it.
        assert_eq!(one_by_one(8_000.0, 0.12), Some(788));
        assert_eq!(one_by_one(8.0, 1.0), None);
        // Nine of ten entries of the order are discarded by a price limit.
        let limited = estimate(3_000.0, 30_000.0, 60_000.0);
        assert_eq!(limited.one_by_one(21, 0.3, &statistics), Some(631));
        let scattered = Statistics {
            visibility_map_switches: 0.8,
            ..statistics
        };
        assert_eq!(limited.one_by_one(21, 0.3, &scattered), None);
    }

    #[test]
    fn within_narrow_price_limits_rows_are_visited_instead_of_walking_the_order() {
        let statistics = Statistics {
            products: 200_000.0,
            visibility_map_switches: 0.2,
            ..Statistics::default()
        };
        // Two of three products have the word; one in 20 has such a price, or nearly all have.
        let is_scan_cheaper = |rows, without_words| {
            estimate(rows, 130_000.0, without_words).is_scan_cheaper(101, 0.03, &statistics)
        };
        assert!(is_scan_cheaper(6_400.0, 9_700.0));
        assert!(!is_scan_cheaper(120_000.0, 190_000.0));
    }

    #[test]
    fn price_limits_alone_are_intersected_in_a_large_catalogue() {
        let statistics = |products, visibility_map_switches| Statistics {
            products,
            visibility_map_switches,
            ..Statistics::default()
        };
        let half_a_percent = |statistics: Statistics| {
            Estimate::of_rows(statistics.products * 0.005).is_intersection_cheaper(21, 0.05, &statistics)
        };
        assert!(!half_a_percent(statistics(200_000.0, 0.2)));
        assert!(half_a_percent(statistics(1_000_000.0, 0.8)));
        assert!(!half_a_percent(Statistics::default()));
    }

    #[test]
    fn few_rows_are_all_read() {
        let statistics = Statistics {
            products: 200_000.0,
            ..Statistics::default()
        };
        let few = estimate(100.0, 30_000.0, 200_000.0);
        assert!(few.is_whole_cheaper(0.3, &statistics));
        assert!(!few.is_whole_cheaper(0.002, &statistics));
        assert!(few.is_rest_cheaper(0.1, 900.0, &statistics));
        assert!(!few.is_rest_cheaper(0.01, 900.0, &statistics));
    }

    #[test]
    fn what_was_found_corrects_the_next_range() {
        let first = share_with(21.0, 0.0, 4_000.0, 0.0, 0.0);
        assert!((0.007..0.008).contains(&first));
        // As many as expected: the rest is a small range. None: the next one is much larger.
        let as_expected = share_with(6.0, 0.0, 4_000.0, 15.0, 0.0040);
        assert!(as_expected < first);
        let next = share_with(21.0, 0.0, 4_000.0, 0.0, first);
        assert!((3.0 * first..=0.125).contains(&next));
    }

    #[test]
    fn ranges_grow_to_the_end_of_the_order_within_a_bound() {
        let mut read = share_with(101.0, 0.0, 4_725.0, 0.0, 0.0);
        let second = share_with(94.0, 0.0, 4_725.0, 7.0, read);
        assert!(second * 4_725.0 <= 500.0);
        for _ in 0..3 {
            read += share_with(101.0, 0.0, 4_725.0, 0.0, read);
        }
        assert!(read >= 1.0);
    }

    #[test]
    fn words_that_cost_much_for_each_range_have_larger_ones() {
        let common = estimate(23_000.0, 23_000.0, 30_000.0).least_in_range();
        assert!(
            share_with(2.0, common, 23_000.0, 0.0, 0.0) > 10.0 * share_with(2.0, 0.0, 23_000.0, 0.0, 0.0)
        );
        assert!(estimate(400.0, 400.0, 30_000.0).least_in_range() < 2.0);
    }
}
