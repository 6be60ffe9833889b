//! The plan of a statement that the api has sent.
//!
//! `pg_stat_statements` replaces constants, `limit 21` among them, and a plan for an unknown limit is another plan. So
//! the text is taken from `pg_stat_activity`, where each of the api's idle connections shows what it ran last.

use anyhow::Result;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use super::stand::Stand;
use crate::costs::LAB_MARK;
use crate::report::StatementCost;

/// Adds their plans to the statements that the api ran last, or why there is none: `pg_stat_activity` cuts long texts off.
pub async fn last_statement(statements: &mut [StatementCost], stand: &mut Stand) -> Result<()> {
    let sql = format!(
        "select query from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
         and backend_type = 'client backend' and query ilike '%select%' order by query_start desc nulls last limit 12 {LAB_MARK}"
    );
    let recent = sqlx::query(AssertSqlSafe(sql))
        .fetch_all(&mut stand.monitor)
        .await?;
    for row in recent {
        let text: String = row.try_get(0)?;
        let Some(statement) = most_alike(statements, &text) else {
            continue;
        };
        if statement.plan.is_none() {
            match plan_of(&mut stand.monitor, &text).await {
                Ok(nodes) => statement.plan = Some(nodes),
                Err(fault) => statement.no_plan_because = Some(format!("{fault:#}")),
            }
        }
    }
    Ok(())
}

/// The statement that begins like the text, up to its first constant.
fn most_alike<'a>(statements: &'a mut [StatementCost], text: &str) -> Option<&'a mut StatementCost> {
    let common = |statement: &StatementCost| {
        statement
            .text
            .trim()
            .bytes()
            .zip(text.trim().bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    statements
        .iter_mut()
        .max_by_key(|statement| common(statement))
        .filter(|statement| {
            let shared = common(statement);
            shared >= statement.text.trim().len().min(120)
        })
}

/// The node types of the generic plan, the one that serves any parameters. Postgres may choose another for some values
/// as long as it doesn't settle on this one.
async fn plan_of(connection: &mut PgConnection, text: &str) -> Result<String> {
    let parameters = (1..)
        .take_while(|number| text.contains(&format!("${number}")))
        .count();
    let nulls = vec!["null"; parameters].join(", ");
    let arguments = if parameters == 0 {
        String::new()
    } else {
        format!("({nulls})")
    };
    connection
        .execute(AssertSqlSafe(format!(
            "{LAB_MARK} set plan_cache_mode = force_generic_plan"
        )))
        .await?;
    connection
        .execute(AssertSqlSafe(format!(
            "{LAB_MARK} prepare lab_statement as {text}"
        )))
        .await?;
    let explained = connection
        .fetch_one(AssertSqlSafe(format!(
            "{LAB_MARK} explain (format json) execute lab_statement{arguments}"
        )))
        .await;
    connection
        .execute(AssertSqlSafe(format!("{LAB_MARK} deallocate lab_statement")))
        .await?;
    let json: Value = explained?.try_get(0)?;
    let mut nodes = Vec::new();
    collect(&json[0]["Plan"], &mut nodes);
    Ok(nodes.join(" → "))
}

fn collect(node: &Value, nodes: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let on = node["Index Name"]
        .as_str()
        .or_else(|| node["Relation Name"].as_str())
        .or_else(|| node["CTE Name"].as_str());
    nodes.push(on.map_or_else(|| kind.to_owned(), |on| format!("{kind} on {on}")));
    for below in node["Plans"].as_array().into_iter().flatten() {
        collect(below, nodes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_listed_from_the_root_with_what_they_read() {
        let plan = serde_json::json!({
            "Node Type": "Limit",
            "Plans": [{ "Node Type": "Index Scan", "Index Name": "products_newest_idx", "Relation Name": "products" }]
        });
        let mut nodes = Vec::new();
        collect(&plan, &mut nodes);
        assert_eq!(nodes, ["Limit", "Index Scan on products_newest_idx"]);
    }
}
