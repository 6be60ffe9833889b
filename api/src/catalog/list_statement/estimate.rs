//! What the planner expects of a list with words. From that follows how its page is read with the fewest pages of Postgres.
//!
//! The costs are shared buffers, counted with `explain (analyze, buffers)` on 200,000 products of the generator. Where a step
//! takes time and few buffers, it counts as the buffers that take as long (about 5 µs each).

use sqlx::{Postgres, QueryBuilder};

use crate::catalog::search::expected_rows::explain;
use crate::catalog::search::indexed_search::ROWS_A_POSTING;
use crate::database::Session;

/// Looking a product up: 2,704 pages for 1,297 products. One is the hash index's, as few buckets have an overflow page; one
/// is the row's.
const PAGES_A_LOOKUP: f64 = 2.1;

/// An entry of the index of an order: 225 pages for 1,000 of them. Few are the index's own; an index-only scan also looks at
/// the visibility map, and at another page of it where the next row of the table is far away.
const PAGES_AN_ENTRY: f64 = 0.23;

/// An entry of a range's bitmap: 0.12 µs.
const PAGES_A_RANGE_ENTRY: f64 = 0.025;

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
        session: &mut Session<'_>,
    ) -> Result<Self, sqlx::Error> {
        let expected = explain(sql, session).await?;
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

    /// How many products of the order have to be looked up one by one until the page is full, if that costs less than to
    /// read this share of it. `density` is the number of matches in the whole order, `products` the number of all products.
    pub(super) fn one_by_one(self, wanted: u64, share: f64, density: f64, products: f64) -> Option<u64> {
        let walked = wanted as f64 * self.without_words / self.rows;
        let range = share * (density + products * PAGES_A_RANGE_ENTRY) + self.matched * ROWS_A_POSTING;
        let is_cheaper = walked * (PAGES_A_LOOKUP + PAGES_AN_ENTRY) < range;
        (is_cheaper && walked <= MAX_ONE_BY_ONE).then_some((walked * MAX_OVERRUN) as u64 + 1)
    }
}

/// How large a share of the order holds the missing products, but `least` at least, when so many were found in the share that
/// was read. `density` is the expected number of matches in the whole order.
pub(super) fn share_with(missing: f64, least: f64, density: f64, found: f64, read: f64) -> f64 {
    let density = density.max(1.0);
    let share = with_margin(missing).max(least) / ((found + PRIOR_WEIGHT) / (read + PRIOR_WEIGHT / density));
    if read == 0.0 {
        return share;
    }
    // Few ranges are read where the words aren't. But where one was nearly empty, the next one may not be.
    let growth = if found == 0.0 { MAX_GROWTH } else { 1.0 };
    share
        .max(read * growth)
        .min((MAX_MORE / density).max(read * MAX_GROWTH))
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
        let one_by_one = |matches: f64, share| {
            estimate(matches, matches, 200_000.0).one_by_one(21, share, matches, 200_000.0)
        };
        assert_eq!(one_by_one(100_000.0, 0.0005), Some(64));
        assert_eq!(one_by_one(8_000.0, 0.004), None);
        // A band may be larger than what is needed of it.
        assert_eq!(one_by_one(8_000.0, 0.12), Some(788));
        assert_eq!(one_by_one(8.0, 1.0), None);
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
