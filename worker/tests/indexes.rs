//! Every foreign key, and every statement that purges, has an index under `chosen`: what is looked for in all tables, so that
//! a new one can't be forgotten.

use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

use crate::support::TestDatabase;

/// Without an index, and why that is right.
const WITHOUT: [&str; 2] = [
    // The shop deletes no brand and no category, and lists have partial indexes by both; one more would be written with
    // each product.
    "products_brand_id_fkey",
    "products_category_id_fkey",
];

#[tokio::test]
async fn every_foreign_key_has_an_index_that_begins_with_it() {
    let database = TestDatabase::new().await;
    // Partial indexes serve a check as long as they leave out nulls alone.
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

/// The statements of the whole workspace, as they were described for the build.
fn statements() -> Vec<Value> {
    let described = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.sqlx");
    std::fs::read_dir(described)
        .unwrap()
        .map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn every_purge_finds_what_is_due_by_an_index() {
    let database = TestDatabase::new().await;
    let mut connection = database.pool.acquire().await.unwrap();
    // A table is read whole only where nothing else is possible; and the plan is made without knowing the values.
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
        let parameters = statement["describe"]["parameters"]["Left"].as_array().unwrap();
        let nulls = vec!["null"; parameters.len()].join(", ");
        let prepare = format!("prepare purge_{purges} as {sql}");
        sqlx::raw_sql(AssertSqlSafe(prepare))
            .execute(&mut *connection)
            .await
            .unwrap();
        let explain = format!("explain (format json) execute purge_{purges}({nulls})");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain))
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let plan: String = plan.try_get_unchecked(0).unwrap();
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
        assert!(plan.contains("Index"), "{sql}\n{plan}");
        // The order of what is due is the index's: nothing is sorted.
        assert!(!plan.contains("\"Sort\""), "{sql}\n{plan}");
    }
    assert!(purges >= 8, "{purges}");
    drop(connection);
    database.drop().await;
}
