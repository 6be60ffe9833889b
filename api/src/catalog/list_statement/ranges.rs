//! Ranges of a sort order, one after the other, each about as large as requested.
//!
//! Prices and sales are indexed in bands (`price_band` and `sales_band` in the migrations), so that a key that changes a
//! little leaves the index alone; a range begins and ends between bands. Many products have the same rating, so a range may end between two
//! ids of one rating.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::Bounds;
use crate::catalog::filters::ProductFilters;
use crate::catalog::search_statistics::{Statistics, Step};
use crate::catalog::sort::Sort;

/// A step with more than this share is divided by ids, if it is a single rating.
const LARGEST_STEP: f64 = 0.01;

/// Where a range ends: behind a value of the sort column, or behind an id among the products with that value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Edge {
    value: i64,
    id: Option<Uuid>,
}

/// A part of a sort order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    /// Exclusive; `None` at the beginning of the page.
    begin: Option<Edge>,
    /// Inclusive; `None` at the end of the order.
    end: Option<Edge>,
    /// The one value that it is a part of.
    part_of: Option<i64>,
    /// About how large a share of all products is in it.
    pub(super) share: f64,
    is_last: bool,
}

impl Range {
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    /// Appends its condition, for the column that is indexed for this sort. Rows are never compared as `(key, id) < (…)`:
    /// the planner would estimate that from the key alone, and take a part of a common key for empty.
    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>, sort: Sort, bounds: Bounds) {
        let (after, from, to) = match sort {
            Sort::PriceAsc => (" > ", " >= ", " <= "),
            _ => (" < ", " <= ", " >= "),
        };
        let mut push_value = |comparison, value| {
            for part in [" and s.", column(sort), comparison] {
                sql.push(part);
            }
            match is_banded(sort) {
                true => {
                    sql.push(value);
                }
                false => sort.push_key(sql, value),
            }
        };
        match (self.part_of, self.end) {
            (Some(value), _) => push_value(" = ", value),
            (None, Some(end)) => push_value(to, end.value),
            (None, None) => {}
        }
        match (self.part_of, self.begin) {
            (Some(_), _) => {}
            (None, Some(begin)) => push_value(after, begin.value),
            (None, None) => {
                // The cursor's own condition is a filter.
                if let Bounds::After { key, .. } = bounds {
                    match is_banded(sort) {
                        true => {
                            // The function of a column's bands has its name.
                            for part in [" and s.", column(sort), from, column(sort)] {
                                sql.push(part);
                            }
                            sql.push("(").push(key).push(")");
                        }
                        false => push_value(from, key),
                    }
                }
            }
        }
        if self.part_of.is_some() {
            for (edge, comparison) in [(self.begin, after), (self.end, to)] {
                if let Some(id) = edge.and_then(|edge| edge.id) {
                    sql.push(" and s.product_id").push(comparison).push_bind(id);
                }
            }
        }
    }
}

/// The column of `search_rows` whose index has the ranges of a sort order.
fn column(sort: Sort) -> &'static str {
    match sort {
        Sort::Newest => "created_at",
        Sort::PriceAsc | Sort::PriceDesc => "price_band",
        Sort::BestSelling | Sort::Relevance => "sales_band",
        Sort::Rating => "rating_hundredths",
    }
}

fn is_banded(sort: Sort) -> bool {
    matches!(column(sort), "price_band" | "sales_band")
}

/// As `price_band` and `sales_band` in the migrations: so many bands to a factor of e. Only estimates use this one.
fn band(sort: Sort, key: i64) -> i64 {
    let bands = match column(sort) {
        "price_band" => 32.0,
        _ => 8.0,
    };
    match key {
        ..=0 => 0,
        _ => ((key as f64).ln() * bands) as i64 + 1,
    }
}

/// Whether the price limits let products of a step of price bands through.
fn is_between_prices(step: &Step, filters: &ProductFilters) -> bool {
    let band = |price| band(Sort::PriceAsc, price);
    filters.min_price.is_none_or(|price| step.high >= band(price))
        && filters.max_price.is_none_or(|price| step.low <= band(price))
}

/// About how large a share of all products is within the price limits.
pub(super) fn share_between_prices(statistics: &Statistics, filters: &ProductFilters) -> f64 {
    let steps = statistics.steps.get("price_band").into_iter().flatten();
    let between = steps.filter(|step| is_between_prices(step, filters));
    between.map(|step| step.share).sum()
}

/// Goes through a sort order from where a page begins.
#[derive(Debug, Clone)]
pub(super) struct Ranges<'s> {
    is_ascending: bool,
    /// In the order of the list.
    steps: Vec<Step>,
    /// Quantiles of ids, for steps that can be divided.
    ids: &'s [Uuid],
    /// The next step, and how much of it is behind.
    next: usize,
    behind: f64,
    begin: Option<Edge>,
}

impl<'s> Ranges<'s> {
    pub(super) fn new(
        statistics: &'s Statistics,
        sort: Sort,
        bounds: Bounds,
        filters: &ProductFilters,
    ) -> Self {
        let is_ascending = sort == Sort::PriceAsc;
        let mut steps = statistics.steps.get(column(sort)).cloned().unwrap_or_default();
        if column(sort) == "price_band" {
            steps.retain(|step| is_between_prices(step, filters));
        }
        if !is_ascending {
            steps.sort_by_key(|step| std::cmp::Reverse((step.low, step.high)));
        }
        let mut ranges = Self {
            is_ascending,
            steps,
            ids: match sort {
                Sort::Rating => &statistics.ids,
                _ => &[],
            },
            next: 0,
            behind: 0.0,
            begin: None,
        };
        if let Bounds::After { key, id } = bounds {
            ranges.skip_to(if is_banded(sort) { band(sort, key) } else { key }, id);
        }
        ranges
    }

    fn skip_to(&mut self, value: i64, id: Uuid) {
        let is_before = |step: &Step| match self.is_ascending {
            true => step.high < value,
            false => step.low > value,
        };
        self.next = self.steps.iter().take_while(|step| is_before(step)).count();
        if let Some(step) = self.steps.get(self.next)
            && self.is_divisible(step)
            && step.low == value
        {
            let smaller = self.ids.partition_point(|quantile| *quantile < id);
            // Ratings are sorted descending, and so are their ids.
            self.behind = 1.0 - smaller as f64 / self.ids.len() as f64;
            self.begin = Some(Edge { value, id: Some(id) });
        } else if let Some(step) = self.steps.get_mut(self.next)
            && step.low < step.high
        {
            // Within a part of a histogram, values are assumed to be evenly spread.
            let above = (step.high - value) as f64 / (step.high - step.low) as f64;
            let rest = if self.is_ascending { above } else { 1.0 - above };
            step.share *= rest.clamp(0.0, 1.0);
        }
    }

    fn is_divisible(&self, step: &Step) -> bool {
        self.ids.len() > 1 && step.low == step.high && step.share > LARGEST_STEP
    }

    /// The next range, of about this share of all products. The last one may be smaller, and so may one before a value that
    /// is divided.
    pub(super) fn next(&mut self, share: f64) -> Range {
        let mut range = Range {
            begin: self.begin,
            end: None,
            part_of: None,
            share: if self.steps.is_empty() { 1.0 } else { 0.0 },
            is_last: true,
        };
        while let Some(step) = self.steps.get(self.next).copied() {
            let is_inside = matches!(self.begin, Some(Edge { value, id: Some(_) }) if value == step.low);
            let is_whole = !is_inside && share - range.share >= step.share;
            if self.is_divisible(&step) && !is_whole {
                // Products that the statistics don't know may lie between this value and the last edge.
                let is_adjacent = is_inside || self.begin == Some(Self::edge_before(&step));
                return match is_adjacent {
                    true => self.part_of(range, &step, share),
                    false => self.end_at(range, Self::edge_before(&step)),
                };
            }
            range.share += step.share;
            self.next += 1;
            if range.share >= share && self.next < self.steps.len() {
                let value = if self.is_ascending { step.high } else { step.low };
                return self.end_at(range, Edge { value, id: None });
            }
        }
        range
    }

    /// Ratings are sorted descending, so the greater ones come before a value.
    fn edge_before(step: &Step) -> Edge {
        Edge {
            value: step.low + 1,
            id: None,
        }
    }

    fn part_of(&mut self, mut range: Range, step: &Step, share: f64) -> Range {
        range.part_of = Some(step.low);
        range.is_last = false;
        // An edge behind another value bounds no id.
        range.begin = range.begin.filter(|begin| begin.value == step.low);
        let behind = self.behind + share / step.share;
        if behind >= 1.0 {
            range.share = step.share * (1.0 - self.behind);
            self.next += 1;
            self.behind = 0.0;
            self.begin = Some(Edge {
                value: step.low,
                id: None,
            });
            return range;
        }
        let last = self.ids.len() - 1;
        let quantile = ((1.0 - behind) * last as f64) as usize;
        range.share = share;
        self.behind = (1.0 - quantile as f64 / last as f64).max(self.behind);
        let id = Some(self.ids[quantile]);
        self.end_at(range, Edge { value: step.low, id })
    }

    fn end_at(&mut self, range: Range, end: Edge) -> Range {
        self.begin = Some(end);
        Range {
            end: Some(end),
            is_last: false,
            ..range
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(column: &str, steps: &[(i64, i64, f64)]) -> Statistics {
        let steps = steps.iter().map(|(low, high, share)| Step {
            low: *low,
            high: *high,
            share: *share,
        });
        Statistics {
            products: 1_000.0,
            steps: [(column.to_owned(), steps.collect())].into(),
            ids: (0..=4).map(Uuid::from_u128).collect(),
            ..Statistics::default()
        }
    }

    fn condition(range: Range, sort: Sort, bounds: Bounds) -> String {
        let mut sql = QueryBuilder::new("");
        range.push(&mut sql, sort, bounds);
        sql.sql().as_str().to_owned()
    }

    fn after(key: i64, id: u128) -> Bounds {
        Bounds::After {
            key,
            id: Uuid::from_u128(id),
        }
    }

    const ANY: ProductFilters = ProductFilters {
        q: None,
        category: None,
        brand: None,
        min_price: None,
        max_price: None,
        in_stock: None,
    };

    #[test]
    fn ranges_follow_each_other_to_the_end_of_the_order() {
        let bands = statistics("sales_band", &[(1, 1, 0.5), (2, 2, 0.3), (3, 3, 0.2)]);
        let mut ranges = Ranges::new(&bands, Sort::BestSelling, Bounds::Start, &ANY);
        let first = ranges.next(0.1);
        assert_eq!(
            condition(first, Sort::BestSelling, Bounds::Start),
            " and s.sales_band >= 3"
        );
        let second = ranges.next(0.25);
        assert_eq!(
            condition(second, Sort::BestSelling, Bounds::Start),
            " and s.sales_band >= 2 and s.sales_band < 3"
        );
        let last = ranges.next(0.1);
        assert!(last.is_last());
        assert_eq!(
            condition(last, Sort::BestSelling, Bounds::Start),
            " and s.sales_band < 2"
        );
    }

    #[test]
    fn a_page_behind_a_cursor_begins_in_its_band() {
        let bands = statistics("price_band", &[(1, 1, 0.5), (177, 177, 0.3), (200, 200, 0.2)]);
        let mut ranges = Ranges::new(&bands, Sort::PriceAsc, after(250, 0), &ANY);
        let range = ranges.next(0.1);
        assert!((range.share - 0.3).abs() < 1e-9);
        assert_eq!(
            condition(range, Sort::PriceAsc, after(250, 0)),
            " and s.price_band <= 177 and s.price_band >= price_band(250)"
        );
    }

    #[test]
    fn price_limits_bound_the_ranges_of_an_order_by_price() {
        let bands = statistics("price_band", &[(1, 1, 0.5), (177, 177, 0.3), (200, 200, 0.2)]);
        let filters = ProductFilters {
            max_price: Some(250),
            ..ANY
        };
        let mut ranges = Ranges::new(&bands, Sort::PriceDesc, Bounds::Start, &filters);
        assert!((ranges.next(0.1).share - 0.3).abs() < 1e-9);
        assert!(ranges.next(1.0).is_last());
    }

    #[test]
    fn a_common_rating_is_divided_by_ids() {
        let ratings = statistics(
            "rating_hundredths",
            &[(0, 0, 0.5), (300, 300, 0.1), (400, 400, 0.0), (500, 500, 0.4)],
        );
        let mut ranges = Ranges::new(&ratings, Sort::Rating, Bounds::Start, &ANY);
        let mut next = |share| condition(ranges.next(share), Sort::Rating, Bounds::Start);
        // Before each divided rating, between two, and behind the last, for products that the statistics don't know.
        assert_eq!(next(0.1), " and s.rating_hundredths >= $1");
        assert_eq!(next(0.1), " and s.rating_hundredths = $1 and s.product_id >= $2");
        assert_eq!(
            next(0.1),
            " and s.rating_hundredths = $1 and s.product_id < $2 and s.product_id >= $3"
        );
        assert_eq!(next(1.0), " and s.rating_hundredths = $1 and s.product_id < $2");
        assert_eq!(
            next(0.3),
            " and s.rating_hundredths >= $1 and s.rating_hundredths < $2"
        );
        assert_eq!(next(0.3), " and s.rating_hundredths = $1 and s.product_id >= $2");
        assert_eq!(next(1.0), " and s.rating_hundredths = $1 and s.product_id < $2");
        let last = ranges.next(1.0);
        assert_eq!(
            condition(last, Sort::Rating, Bounds::Start),
            " and s.rating_hundredths < $1"
        );
        assert!(last.is_last());
    }

    #[test]
    fn a_cursor_beyond_all_known_ids_skips_nothing_of_its_rating() {
        let ratings = statistics("rating_hundredths", &[(0, 0, 0.6), (500, 500, 0.4)]);
        let bounds = after(500, 9);
        let range = Ranges::new(&ratings, Sort::Rating, bounds, &ANY).next(1.0);
        assert_eq!(
            condition(range, Sort::Rating, bounds),
            " and s.rating_hundredths = $1 and s.product_id < $2"
        );
    }

    #[test]
    fn behind_a_cursor_the_rest_of_its_rating_comes_first() {
        let ratings = statistics("rating_hundredths", &[(0, 0, 0.6), (500, 500, 0.4)]);
        let bounds = after(500, 1);
        let mut ranges = Ranges::new(&ratings, Sort::Rating, bounds, &ANY);
        let rest = ranges.next(0.3);
        assert_eq!(
            condition(rest, Sort::Rating, bounds),
            " and s.rating_hundredths = $1 and s.product_id < $2"
        );
        assert!((rest.share - 0.08).abs() < 1e-9);
    }

    #[test]
    fn a_page_that_begins_within_a_part_of_the_histogram_has_less_of_it() {
        let times = statistics("created_at", &[(0, 100, 0.5), (100, 200, 0.5)]);
        let mut ranges = Ranges::new(&times, Sort::Newest, after(120, 0), &ANY);
        assert!((ranges.next(0.05).share - 0.1).abs() < 1e-9);
    }

    #[test]
    fn without_statistics_there_is_one_range() {
        let unknown = Statistics::default();
        assert!(
            Ranges::new(&unknown, Sort::Newest, Bounds::Start, &ANY)
                .next(0.1)
                .is_last()
        );
    }
}
