//! A shop serves only with the index set that it selects.

use crate::process::schema::startup_error;
use crate::support::database::{Content, Database};
use crate::support::process::{Process, run, settings};

#[tokio::test]
async fn it_rejects_another_index_set() {
    let database = Database::new(Content::Schema).await;
    database.execute("update index_set set arm = 'none'").await;
    let error = startup_error(&database).await;
    assert!(
        error.contains("run `backstock-api migrate --indexes chosen`"),
        "{error}"
    );
    assert!(error.contains("BACKSTOCK_VARIANTS=…,indexes=none"), "{error}");
}

#[tokio::test]
async fn an_index_set_can_be_changed_back_and_forth() {
    let database = Database::new(Content::Schema).await;
    for arm in ["none", "foreign_keys", "chosen", "foreign_keys"] {
        let migrated = run(&["migrate", "--indexes", arm], &settings(&database)).await;
        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
        let applied = format!("up to date, with the index set `{arm}`");
        assert!(migrated.stdout.contains(&applied), "{}", migrated.stdout);
        assert_eq!(database.json("select arm from index_set").await, arm);
        let by_brand = database
            .number("select count(*) from pg_class where relname = 'products_brand_id_idx'")
            .await;
        assert_eq!(by_brand, i64::from(arm == "foreign_keys"));
    }
    // The preset also selects an index set.
    let mut baseline = settings(&database);
    baseline.push(("BACKSTOCK_VARIANTS", "baseline".to_owned()));
    Process::serve(&baseline).await.get("/v1/products").await.ok();
}

#[tokio::test]
async fn an_incomplete_index_set_is_named_with_the_command_that_completes_it() {
    let database = Database::new(Content::Schema).await;
    database.execute("drop index sessions_expires_at_idx").await;
    let error = startup_error(&database).await;
    let advice = "`chosen` lacks sessions_expires_at_idx; run `backstock-api migrate --indexes chosen`";
    assert!(error.contains(advice), "{error}");
}

#[tokio::test]
async fn migrate_without_a_choice_applies_the_optimized_index_set() {
    let database = Database::empty().await;
    let migrated = run(&["migrate"], &settings(&database)).await;
    let applied = "up to date, with the index set `chosen`";
    assert!(migrated.stdout.contains(applied), "{}", migrated.stdout);
}

#[tokio::test]
async fn migrate_lists_the_index_sets() {
    let database = Database::empty().await;
    let output = run(&["migrate", "--indexes", "all"], &settings(&database)).await;
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(
        output.stderr.contains("its arms are:") && output.stderr.contains("chosen"),
        "{}",
        output.stderr
    );
}
