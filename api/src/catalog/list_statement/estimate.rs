//! What the planner expects of a condition on `search_rows`, asked with `explain`: from statistics, nothing is run.

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use super::ListQuery;
use super::visible::rows;
use crate::database::Session;

/// What looking at the document of one product costs, in pages: the bucket of the hash index and the row.
const PAGES_A_PRODUCT: f64 = 2.0;

/// How often as many products as expected are walked before the walk is given up.
const PATIENCE: f64 = 4.0;

/// Rows, as the planner expects them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// Products that fulfil the whole condition.
    rows: f64,
    /// Products that the inverted index leads to.
    matched: f64,
    /// All products.
    products: f64,
}

impl Estimate {
    /// Runs `explain (format json) select … union all select …`, the second of all rows.
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
        let (condition, all) = (&append["Plans"][0], &append["Plans"][1]);
        // A condition that can't hold leaves only the second.
        if all.is_null() {
            return Self {
                rows: 1.0,
                matched: 1.0,
                products: rows_of(append),
            };
        }
        let rows = rows_of(condition);
        let mut matched = rows;
        let mut plans = vec![condition];
        while let Some(plan) = plans.pop() {
            if plan["Node Type"] == "Bitmap Index Scan" {
                matched = matched.max(rows_of(plan));
            }
            plans.extend(plan["Plans"].as_array().into_iter().flatten());
        }
        Self {
            rows,
            matched,
            products: rows_of(all),
        }
    }

    /// Products that a walk looks at until the page is full.
    fn walked(self, list: &ListQuery<'_>) -> f64 {
        (rows(list.limit) + list.bounds.skipped()) as f64 * self.products / self.rows
    }

    /// Whether walking reads fewer pages than all matches have. A match has a page of its own, nearly.
    pub(super) fn favours_walk(self, list: &ListQuery<'_>) -> bool {
        self.walked(list) * PAGES_A_PRODUCT < self.matched
    }

    /// How many products are walked at most.
    pub(super) fn walked_at_most(self, list: &ListQuery<'_>) -> u64 {
        (self.walked(list) * PATIENCE) as u64
    }
}
