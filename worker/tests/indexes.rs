//! With the index set `chosen`, every foreign key and every cleanup statement has an index. All tables are
//! checked, so that a new one can't be forgotten.

use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::support::TestDatabase;

/// Foreign keys without an index, with the reason.
const WITHOUT: [&str; 2] = [
    // The shop deletes no brand and no category, and lists have partial indexes on both. A further index
    // would be written with each product.
    "products_brand_id_fkey",
    "products_category_id_fkey",
];

#[tokio::test]
async fn every_foreign_key_has_an_index_that_begins_with_it() {
    let database = TestDatabase::new().await;
    // A partial index serves the check of a foreign key if it leaves out only nulls.
    let unindexed = "
        select string_agg(c.conname, ',' order by c.conname)
        from pg_constraint c
        where c.contype = 'f'
          and not exists (
              select from pg_index i
              where i.indrelid = c.conrelid
                and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey
                and (i.indpred is null
                     or pg_get_expr(i.indpred, i.indrelid) = '(' || (
                         select attname from pg_attribute
                         where attrelid = c.conrelid and attnum = c.conkey[1]) || ' IS NOT NULL)'))";
    assert_eq!(database.text(unindexed).await, WITHOUT.join(","));
    database.drop().await;
}

/// The statements of the whole workspace, from sqlx's offline data.
fn statements() -> Vec<Value> {
    let described = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.sqlx");
    std::fs::read_dir(described)
        .unwrap()
        .map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap())
        .collect()
}

/// The generic plan of a statement, which doesn't depend on parameter values. `name` is unique in the session.
async fn generic_plan(connection: &mut PgConnection, name: &str, statement: &Value) -> String {
    let sql = statement["query"].as_str().unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("prepare {name} as {sql}")))
        .execute(&mut *connection)
        .await
        .unwrap();
    let parameters = statement["describe"]["parameters"]["Left"].as_array().unwrap();
    let nulls = match parameters.len() {
        0 => String::new(),
        count => format!("({})", vec!["null"; count].join(", ")),
    };
    let explain = format!("explain (verbose, format json) execute {name}{nulls}");
    let plan = sqlx::raw_sql(AssertSqlSafe(explain))
        .fetch_one(connection)
        .await
        .unwrap();
    plan.try_get_unchecked(0).unwrap()
}

#[tokio::test]
async fn every_cleanup_statement_finds_expired_rows_by_an_index() {
    let database = TestDatabase::new().await;
    let mut connection = database.pool.acquire().await.unwrap();
    // A sequential scan is planned only if there is no alternative.
    for setting in ["enable_seqscan = off", "plan_cache_mode = force_generic_plan"] {
        sqlx::query(AssertSqlSafe(format!("set {setting}")))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    let mut purges = 0;
    for statement in statements() {
        let sql = statement["query"].as_str().unwrap();
        if !sql.trim_start().starts_with("delete from") || !sql.contains("skip locked") {
            continue;
        }
        purges += 1;
        let plan = generic_plan(&mut connection, &format!("purge_{purges}"), &statement).await;
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
        assert!(plan.contains("Index"), "{sql}\n{plan}");
        // Expired rows come in the index's order, without a sort.
        assert!(!plan.contains("\"Sort\""), "{sql}\n{plan}");
    }
    assert!(purges >= 8, "{purges}");
    drop(connection);
    database.drop().await;
}

/// Orders as the planner knows them: thousands are done, and none of the sample is unpaid.
const DONE_ORDERS: &str = "
    insert into orders (id, created_at, updated_at, status, subtotal_cents, discount_cents, shipping_cents, total_cents,
                        currency, shipping_method, email, shipping_address, reserved_until, payment_voided_at)
    select gen_random_uuid(), now(), now(), 'fulfilled', 1, 0, 0, 1, 'EUR', 'standard', 'ada@example.org', '{}', now(), now()
    from generate_series(1, 5000);
    analyze orders";

/// Collects what reads a whole table or index of the shop: a hash for an `exists`, and a walk of an index of orders
/// without a condition.
fn whole_reads(node: &Value, plan: &str, reads: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap();
    if let Some(subplan) = node["Subplan Name"].as_str()
        && plan.contains(&format!("hashed {subplan})"))
        && kind != "CTE Scan"
    {
        reads.push(format!("a hash of {}", node["Relation Name"]));
    }
    if kind.starts_with("Index") && node["Relation Name"] == "orders" && node["Index Cond"].is_null() {
        reads.push(format!("all entries of {}", node["Index Name"]));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        whole_reads(child, plan, reads);
    }
}

/// A plan for tables that are small, or seem to be, is kept while they grow: the plan of a prepared statement is made
/// again only after the next `analyze`. And entries of orders that were unpaid stay in an index until the next vacuum.
#[tokio::test]
async fn no_statement_hashes_a_table_for_an_exists_or_walks_an_index_of_orders() {
    let database = TestDatabase::new().await;
    database.execute(DONE_ORDERS).await;
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::query("set plan_cache_mode = force_generic_plan")
        .execute(&mut *connection)
        .await
        .unwrap();
    let (mut checked, mut wrong) = (0, Vec::new());
    for (number, statement) in statements().iter().enumerate() {
        let sql = statement["query"].as_str().unwrap();
        let is_query = ["select", "with", "insert", "update", "delete", "--"];
        if !is_query.iter().any(|start| sql.trim_start().starts_with(start)) {
            continue;
        }
        checked += 1;
        let plan = generic_plan(&mut connection, &format!("statement_{number}"), statement).await;
        let parsed: Value = serde_json::from_str(&plan).unwrap();
        let mut reads = Vec::new();
        whole_reads(&parsed[0]["Plan"], &plan, &mut reads);
        if !reads.is_empty() {
            wrong.push(format!("{reads:?} in {sql}"));
        }
    }
    assert!(checked > 100, "{checked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    drop(connection);
    database.drop().await;
}

/// A round of the background tasks claims orders by an index that contains only those that may be due.
#[tokio::test]
async fn orders_that_are_due_are_claimed_by_a_partial_index() {
    let database = TestDatabase::new().await;
    database.execute(DONE_ORDERS).await;
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::query("set plan_cache_mode = force_generic_plan")
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut indexes = Vec::new();
    for (number, statement) in statements().iter().enumerate() {
        let sql = statement["query"].as_str().unwrap();
        if !sql.trim_start().starts_with("update orders") || !sql.contains("skip locked") {
            continue;
        }
        let plan = generic_plan(&mut connection, &format!("claim_{number}"), statement).await;
        let index = ["orders_unpaid_idx", "orders_unvoided_idx"]
            .into_iter()
            .find(|index| plan.contains(index));
        indexes.push(index.unwrap_or_else(|| panic!("{sql}\n{plan}")));
        for other in ["Seq Scan", "\"Sort\""] {
            assert!(!plan.contains(other), "{sql}\n{plan}");
        }
    }
    indexes.sort_unstable();
    assert_eq!(indexes, ["orders_unpaid_idx", "orders_unvoided_idx"]);
    drop(connection);
    database.drop().await;
}
