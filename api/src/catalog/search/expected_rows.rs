//! Row estimates of the planner, from `explain`, which reads statistics and runs nothing.

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use crate::database::InstrumentedConnection;

/// The rows that the planner expects of a `select … union all select …`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedRows {
    /// Of each select, unless the planner dropped one because its condition can't hold. At least 1 each.
    pub selects: Vec<f64>,
    /// Of all of them.
    pub total: f64,
}

/// Runs an `explain (format json)`.
///
/// # Errors
/// When the statement fails.
pub async fn explain(
    sql: &mut QueryBuilder<Postgres>,
    connection: &mut InstrumentedConnection<'_>,
) -> Result<ExpectedRows, sqlx::Error> {
    let row = sql.build().persistent(false).fetch_one(connection).await?;
    let Json(plan) = row.try_get::<Json<Value>, _>(0)?;
    Ok(ExpectedRows::of(&plan[0]["Plan"]))
}

impl ExpectedRows {
    fn of(plan: &Value) -> Self {
        // A parallel plan has the selects below a Gather.
        let append = match plan["Node Type"] == "Gather" {
            true => &plan["Plans"][0],
            false => plan,
        };
        let rows_of = |plan: &Value| plan["Plan Rows"].as_f64().unwrap_or(1.0).max(1.0);
        let selects = match append["Plans"].as_array() {
            Some(plans) if append["Node Type"] == "Append" => plans.iter().map(rows_of).collect(),
            _ => Vec::new(),
        };
        Self {
            selects,
            total: rows_of(append),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_select_is_estimated_by_itself() {
        let plan = json!({"Node Type": "Append", "Plan Rows": 1_400, "Plans": [
            {"Node Type": "Bitmap Heap Scan", "Plan Rows": 70},
            {"Node Type": "Bitmap Heap Scan", "Plan Rows": 500},
            {"Node Type": "Seq Scan", "Plan Rows": 830},
        ]});
        let expected = ExpectedRows {
            selects: vec![70.0, 500.0, 830.0],
            total: 1_400.0,
        };
        assert_eq!(ExpectedRows::of(&plan), expected);
        let gather = json!({"Node Type": "Gather", "Plans": [plan]});
        assert_eq!(ExpectedRows::of(&gather), expected);
        let one_left = json!({"Node Type": "Seq Scan", "Plan Rows": 830});
        assert_eq!(ExpectedRows::of(&one_left).selects, [0.0; 0]);
    }
}
