//! A list of a category and those below it, merged from the orders of each, which an index has.
//!
//! Of each category, only as many products are read as a page is expected to have of it. When every product read from a category
//! is on the page, that category may have more of them, and the list is read again with a whole page of that category.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::visible::{InCategory, push_cut, push_keys_in};
use super::{ListQuery, push_order};
use crate::catalog::search_statistics::Statistics;

/// How many products of each category are read, when their orders are merged.
pub(super) struct CategoryLimits {
    /// Of the whole page.
    pub(super) most: u64,
    /// Of categories that are expected to have fewer.
    expected: HashMap<Uuid, u64>,
}

impl CategoryLimits {
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            expected: HashMap::new(),
        }
    }

    /// Expects products of a page to be spread over the categories as those of the catalogue are, with a margin of three
    /// standard deviations of a Poisson distribution.
    pub(super) fn lower_to_expected(&mut self, statistics: &Statistics, subtree: &[Uuid]) {
        let share_of = |id| statistics.share_of_category(id);
        let total: f64 = subtree.iter().map(share_of).sum();
        if total == 0.0 {
            return;
        }
        for id in subtree {
            let expected = self.most as f64 * share_of(id) / total;
            let limit = (expected + 3.0 * expected.sqrt()).ceil() as u64 + 1;
            if limit < self.most {
                self.expected.insert(*id, limit);
            }
        }
    }

    fn limit_of(&self, category: &Uuid) -> u64 {
        self.expected.get(category).copied().unwrap_or(self.most)
    }

    /// Raises the limits of categories that may have more products of the page. Returns whether there are any.
    pub(super) fn raise_saturated(&mut self, page: &[PgRow]) -> Result<bool, sqlx::Error> {
        if self.expected.is_empty() {
            return Ok(false);
        }
        let mut counts: HashMap<Uuid, u64> = HashMap::new();
        for row in page {
            // Null in all rows of a page that is sufficient.
            let Some(category) = row.try_get("insufficient")? else {
                return Ok(false);
            };
            *counts.entry(category).or_default() += 1;
        }
        let mut is_raised = false;
        for (id, count) in counts {
            if self.expected.get(&id).is_some_and(|limit| count >= *limit) {
                self.expected.remove(&id);
                is_raised = true;
            }
        }
        Ok(is_raised)
    }
}

/// Appends the statement: keys and ids of the first products of each category, of these the first, and their rows. When every
/// product read from a category is on the page, no row is looked up. The planner doesn't see the categories' limits and assumes
/// a tenth of each category; the index of the order is the cheapest for that as well.
pub(super) fn push(
    sql: &mut QueryBuilder<Postgres>,
    list: &ListQuery<'_>,
    subtree: &[Uuid],
    limits: &CategoryLimits,
) {
    let of_each = subtree.iter().map(|id| limits.limit_of(id).cast_signed());
    sql.push(
        "select page.sort_key, item.*, case when page.is_insufficient then page.category_id end as insufficient from (
             select counted.*, bool_or(counted.products >= counted.most and counted.most < ",
    )
    .push(limits.most)
    .push(
        ") over () as is_insufficient from (
             select k.*, count(*) over (partition by k.category_id) as products from (
                 select k.sort_key, k.id, subtree.id as category_id, subtree.most from unnest(",
    )
    .push_bind(subtree.to_vec())
    .push(", ")
    .push_bind(of_each.collect::<Vec<i64>>())
    .push(") as subtree (id, most) cross join lateral (");
    push_keys_in(sql, list, (None, InCategory::Merged), "p.id");
    sql.push(" limit subtree.most) k");
    push_order(sql, list.sort, "k.sort_key", "k.id");
    push_cut(sql, list);
    sql.push(") k) counted) page left join lateral (select ")
        .push(list.columns)
        .push(" from products p where p.id = page.id and not page.is_insufficient limit 1) item on true");
    push_order(sql, list.sort, "page.sort_key", "page.id");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<Uuid> {
        (0..4).map(Uuid::from_u128).collect()
    }

    #[test]
    fn a_page_is_expected_to_be_spread_as_the_catalogue_is() {
        let ids = ids();
        let statistics = Statistics {
            categories: [(ids[0], 0.4), (ids[1], 0.005)].into(),
            ..Statistics::default()
        };
        let mut limits = CategoryLimits::new(21);
        limits.lower_to_expected(&statistics, &ids);
        let of_each: Vec<u64> = ids.iter().map(|id| limits.limit_of(id)).collect();
        // The others are at most as common as the rarest of those that are known: a quarter of a product is expected.
        assert_eq!(of_each, [21, 3, 3, 3]);
    }

    #[test]
    fn without_statistics_a_whole_page_of_each_is_read() {
        let mut limits = CategoryLimits::new(21);
        limits.lower_to_expected(&Statistics::default(), &ids());
        assert!(ids().iter().all(|id| limits.limit_of(id) == 21));
    }
}
