//! Whether the listing's statements are planned as index scans, with the very texts and parameters that the shop sends.

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::listing::statements_of;
use super::{Execution, LimitResult};
use crate::shop::ShopSettings;

/// The catalogue's tables, none of which a listing may read as a whole.
const TABLES: [&str; 5] = ["products", "variants", "images", "brands", "categories"];

const BY_INDEX: [&str; 3] = ["Index Scan", "Index Only Scan", "Bitmap Heap Scan"];

const MOST_STATEMENTS: usize = 2;

/// Postgres decides after five executions whether a prepared statement keeps one plan for all parameters. The one after
/// these is the plan that a shop that has been up for a while gets.
const EXPLAINED: usize = 7;

/// For a page that is listed uncached: how many scans of the catalogue's tables do without an index, and how many
/// statements there are. `settings` are those of a shop without its cache; `name` begins the results' names.
pub async fn listing_by_index(settings: &ShopSettings, name: &str, path: &str) -> Result<[LimitResult; 2]> {
    let statements = statements_of(settings, path).await?;
    let mut database = PgConnection::connect(&settings.database_url).await?;
    let mut scans = Vec::new();
    for statement in &statements {
        collect(&plan_of(&mut database, statement).await?, &mut scans);
    }
    database.close().await?;

    let others: Vec<&Scan> = scans.iter().filter(|scan| !scan.by_index()).collect();
    let mut what = format!("scans without an index for one GET {path} uncached");
    if !others.is_empty() {
        let named: Vec<String> = others
            .iter()
            .map(|scan| format!("{} on {}", scan.kind, scan.table))
            .collect();
        what.push_str(&format!(" ({})", named.join(", ")));
    }
    // A listing without any scan was not understood.
    let met = others.is_empty() && !scans.is_empty();
    let mut plans = LimitResult::new(
        &format!("{name}_scans_without_index"),
        what,
        "none",
        others.len() as f64,
        "",
        met,
    );
    plans
        .details
        .push(("scans_of_the_catalogue".to_owned(), scans.len() as f64));
    let count = LimitResult::new(
        &format!("{name}_statements"),
        format!("statements for one GET {path} uncached"),
        "at most 2",
        statements.len() as f64,
        "",
        statements.len() <= MOST_STATEMENTS,
    );
    Ok([plans, count])
}

/// A node of a plan that reads a table of the catalogue.
#[derive(Debug, PartialEq, Eq)]
struct Scan {
    kind: String,
    table: String,
}

impl Scan {
    fn by_index(&self) -> bool {
        BY_INDEX.contains(&self.kind.as_str())
    }
}

async fn plan_of(database: &mut PgConnection, statement: &Execution) -> Result<Value> {
    let quoted: Vec<String> = statement
        .parameters
        .iter()
        .map(|value| format!("'{}'", value.replace('\'', "''")))
        .collect();
    let arguments = if quoted.is_empty() {
        String::new()
    } else {
        format!("({})", quoted.join(", "))
    };
    let prepare = format!("prepare lab_statement as {}", statement.sql);
    database
        .execute(AssertSqlSafe(prepare))
        .await
        .with_context(|| format!("cannot prepare what the shop ran: {}", statement.sql))?;
    let explain = format!("explain (format json) execute lab_statement{arguments}");
    let mut plan = Value::Null;
    for _ in 0..EXPLAINED {
        let row = database.fetch_one(AssertSqlSafe(explain.clone())).await?;
        plan = row.try_get(0)?;
    }
    database
        .execute(AssertSqlSafe("deallocate lab_statement".to_owned()))
        .await?;
    Ok(plan[0]["Plan"].take())
}

fn collect(node: &Value, scans: &mut Vec<Scan>) {
    if let (Some(kind), Some(table)) = (node["Node Type"].as_str(), node["Relation Name"].as_str())
        && TABLES.contains(&table)
    {
        scans.push(Scan {
            kind: kind.to_owned(),
            table: table.to_owned(),
        });
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        collect(below, scans);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_scan_of_the_catalogue_is_judged_and_no_other() {
        let plan = json!({
            "Node Type": "Nested Loop",
            "Plans": [
                { "Node Type": "Index Scan", "Relation Name": "products", "Index Name": "products_newest_idx" },
                { "Node Type": "Bitmap Heap Scan", "Relation Name": "variants",
                  "Plans": [{ "Node Type": "Bitmap Index Scan", "Index Name": "variants_product_idx" }] },
                { "Node Type": "Seq Scan", "Relation Name": "images" },
                { "Node Type": "Seq Scan", "Relation Name": "pg_class" },
                { "Node Type": "CTE Scan", "CTE Name": "products" },
            ]
        });
        let mut scans = Vec::new();
        collect(&plan, &mut scans);
        let judged: Vec<(&str, bool)> = scans
            .iter()
            .map(|scan| (scan.table.as_str(), scan.by_index()))
            .collect();
        assert_eq!(
            judged,
            [("products", true), ("variants", true), ("images", false)]
        );
    }
}
