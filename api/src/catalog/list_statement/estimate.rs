//! What the planner expects of a list with words, asked with `explain`: it answers from statistics and runs nothing.

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use crate::database::Session;

/// What looking at the document of one product costs, in pages: the bucket of the hash index, the row, and one for caution.
/// That so many match is more certain than that they are spread evenly over the order.
const PAGES_A_PRODUCT: f64 = 3.0;

/// How many times as many products as expected are walked before the walk is given up.
const PATIENCE: f64 = 2.0;

/// How many times as far the next walk goes.
const FURTHER: u64 = 4;

/// Rows, as the planner expects them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// Products that are in the list.
    rows: f64,
    /// Products that the inverted index leads to: prices are not in it.
    matched: f64,
    /// Products that would be in the list without its words.
    without_words: f64,
}

/// How the page of a list with words is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// From all products that the inverted index leads to.
    Matches,
    /// From the list without its words: at most so many of its products, if not all of them, are held against the words.
    Walk(Option<u64>),
}

impl Estimate {
    /// Runs `explain (format json) select … union all select …`: the list, and the list without its words.
    pub(super) async fn read(
        sql: &mut QueryBuilder<Postgres>,
        session: &mut Session<'_>,
    ) -> Result<Self, sqlx::Error> {
        let row = sql.build().persistent(false).fetch_one(session).await?;
        let Json(plan) = row.try_get::<Json<Value>, _>(0)?;
        Ok(Self::of(&plan[0]["Plan"]))
    }

    fn of(append: &Value) -> Self {
        let rows_of = |plan: &Value| plan["Plan Rows"].as_f64().unwrap_or(1.0).max(1.0);
        let (list, without_words) = (&append["Plans"][0], &append["Plans"][1]);
        // A condition that can't hold is left out.
        if append["Node Type"] != "Append" || without_words.is_null() {
            return Self {
                rows: 1.0,
                matched: 1.0,
                without_words: rows_of(append),
            };
        }
        Self {
            rows: rows_of(list),
            matched: matched(list),
            without_words: rows_of(without_words),
        }
    }

    /// The shape that reads the fewest pages for so many rows. A match has a page of its own, nearly.
    pub(super) fn shape(self, wanted: u64) -> Shape {
        let walked = wanted as f64 * self.without_words / self.rows;
        if walked.min(self.without_words) * PAGES_A_PRODUCT >= self.matched {
            Shape::Matches
        } else if walked * PATIENCE < self.without_words {
            Shape::Walk(Some((walked * PATIENCE) as u64))
        } else {
            Shape::Walk(None)
        }
    }

    /// The next shape when so many products were walked without filling the page: words may be missing just where the
    /// order begins.
    pub(super) fn after_walk(self, walked: u64) -> Shape {
        let further = walked.saturating_mul(FURTHER);
        if further as f64 * PAGES_A_PRODUCT >= self.matched {
            Shape::Matches
        } else if (further as f64) < self.without_words {
            Shape::Walk(Some(further))
        } else {
            Shape::Walk(None)
        }
    }
}

/// How many rows the inverted index leads to. Where the planner would rather read the whole table, it is all of them.
fn matched(plan: &Value) -> f64 {
    if plan["Node Type"] == "Bitmap Index Scan" {
        return plan["Plan Rows"].as_f64().unwrap_or(1.0).max(1.0);
    }
    let plans = plan["Plans"].as_array().map(Vec::as_slice).unwrap_or_default();
    plans.iter().map(matched).fold(f64::INFINITY, f64::min)
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
        }
    }

    #[test]
    fn rare_words_are_fetched_and_common_words_walk_the_order() {
        assert_eq!(estimate(8.0, 8.0, 200_000.0).shape(21), Shape::Matches);
        assert_eq!(estimate(2_000.0, 2_000.0, 200_000.0).shape(21), Shape::Matches);
        assert_eq!(
            estimate(50_000.0, 50_000.0, 200_000.0).shape(21),
            Shape::Walk(Some(168))
        );
    }

    #[test]
    fn a_narrow_filter_is_walked_to_its_end() {
        assert_eq!(estimate(10.0, 50_000.0, 270.0).shape(21), Shape::Walk(None));
    }

    #[test]
    fn a_walk_that_found_too_little_goes_further_until_the_matches_are_fewer() {
        let common = estimate(30_000.0, 30_000.0, 200_000.0);
        assert_eq!(common.after_walk(280), Shape::Walk(Some(1_120)));
        assert_eq!(common.after_walk(1_120), Shape::Walk(Some(4_480)));
        assert_eq!(common.after_walk(4_480), Shape::Matches);
        let everything = estimate(100.0, f64::INFINITY, 400.0);
        assert_eq!(everything.after_walk(90), Shape::Walk(Some(360)));
        assert_eq!(everything.after_walk(360), Shape::Walk(None));
    }

    #[test]
    fn the_index_leads_to_more_than_are_in_the_list() {
        let plan = json!({"Node Type": "Append", "Plan Rows": 900, "Plans": [
            {"Node Type": "Bitmap Heap Scan", "Plan Rows": 70, "Plans": [{"Node Type": "Bitmap Index Scan", "Plan Rows": 500}]},
            {"Node Type": "Seq Scan", "Plan Rows": 830},
        ]});
        assert_eq!(Estimate::of(&plan), estimate(70.0, 500.0, 830.0));
        let plan = json!({"Node Type": "Append", "Plan Rows": 900, "Plans": [
            {"Node Type": "Seq Scan", "Plan Rows": 70},
            {"Node Type": "Seq Scan", "Plan Rows": 830},
        ]});
        assert_eq!(Estimate::of(&plan), estimate(70.0, f64::INFINITY, 830.0));
        let nothing = json!({"Node Type": "Seq Scan", "Plan Rows": 830});
        assert_eq!(Estimate::of(&nothing), estimate(1.0, 1.0, 830.0));
    }
}
