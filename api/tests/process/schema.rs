//! A shop serves only with the schema and the indexes that it expects.

use crate::support::database::{Content, Database, execute};
use crate::support::process::{Process, run, settings};

pub async fn startup_error(database: &Database) -> String {
    let output = run(&["serve"], &settings(database)).await;
    assert_ne!(output.code, Some(0));
    output.stderr
}

#[tokio::test]
async fn it_rejects_a_database_without_a_schema_and_migrate_creates_it() {
    let database = Database::empty().await;
    assert!(
        startup_error(&database)
            .await
            .contains("run `backstock-api migrate` first")
    );
    let migrated = run(&["migrate"], &settings(&database)).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert!(migrated.stdout.contains("up to date"), "{}", migrated.stdout);
    // `migrate` is idempotent.
    assert_eq!(run(&["migrate"], &settings(&database)).await.code, Some(0));
    let shop = Process::serve(&settings(&database)).await;
    assert_eq!(shop.get("/v1/products").await.ok().items().len(), 0);
    assert_eq!(shop.get("/v1/categories").await.ok().items().len(), 0);
}

#[tokio::test]
async fn it_rejects_an_older_and_a_newer_schema() {
    let database = Database::new(Content::Schema).await;
    database
        .execute("insert into _sqlx_migrations select 29990101000000, 'later', now(), true, '', 0")
        .await;
    let error = startup_error(&database).await;
    assert!(
        error.contains("newer than this build: it has migration 29990101000000")
            && error.contains("start a build that knows it"),
        "{error}"
    );
    let migrated = run(&["migrate"], &settings(&database)).await;
    assert_eq!(migrated.code, Some(1), "{}", migrated.stderr);
    assert!(
        migrated
            .stderr
            .contains("newer than this build: it has migration 29990101000000"),
        "{}",
        migrated.stderr
    );
    database
        .execute(
            "delete from _sqlx_migrations
             where version >= (select max(version) from _sqlx_migrations where version < 29990101000000)",
        )
        .await;
    let error = startup_error(&database).await;
    assert!(
        error.contains("older than this build (1 missing); run `backstock-api migrate`"),
        "{error}"
    );
}

/// The definition of an index, or null if it doesn't exist.
async fn definition(database: &Database, index: &str) -> serde_json::Value {
    database
        .json(&format!("select pg_get_indexdef(to_regclass('{index}'))"))
        .await
}

#[tokio::test]
async fn the_indexes_of_another_build_are_updated() {
    let database = Database::new(Content::Schema).await;
    let (missing, changed, half_built) = (
        "sessions_expires_at_idx",
        "addresses_customer_id_idx",
        "reviews_product_id_idx",
    );
    let mut definitions = Vec::new();
    for index in [missing, changed, half_built] {
        definitions.push(definition(&database, index).await);
    }
    let untouched = "select oid::bigint from pg_class where relname = 'images_product_id_idx'";
    let before = database.number(untouched).await;
    for sql in [
        &format!("drop index {missing}, {changed}"),
        &format!("create index {changed} on addresses (city)"),
        // `create index concurrently` leaves this when it is interrupted.
        &format!("update pg_index set indisvalid = false where indexrelid = '{half_built}'::regclass"),
        "create index gone_idx on brands (name)",
        "create index of_an_operator_idx on brands (name)",
        "update index_set set indexes = indexes || array['gone_idx']",
    ] {
        database.execute(sql).await;
    }
    let error = startup_error(&database).await;
    assert!(
        error.contains(&format!(
            "lacks {half_built}, {missing}; run `backstock-api migrate"
        )),
        "{error}"
    );
    let migrated = run(&["migrate"], &settings(&database)).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    for (index, expected) in [missing, changed, half_built].into_iter().zip(definitions) {
        assert_eq!(definition(&database, index).await, expected);
    }
    assert!(definition(&database, "gone_idx").await.is_null());
    assert!(
        definition(&database, &format!("{changed}_replaced"))
            .await
            .is_null()
    );
    assert!(
        definition(&database, "of_an_operator_idx").await.is_string(),
        "it is not the shop's"
    );
    assert_eq!(
        database.number(untouched).await,
        before,
        "a correct index isn't rebuilt"
    );
    let invalid = "select count(*) from pg_index where not indisvalid";
    assert_eq!(database.number(invalid).await, 0);
    let shop = Process::serve(&settings(&database)).await;
    shop.get("/v1/products").await.ok();
}

#[tokio::test]
async fn a_migration_without_its_locks_is_rolled_back_with_advice() {
    let database = Database::empty().await;
    // The first migration creates the same extension, and waits for this transaction.
    let mut other = database.connect().await;
    execute(&mut other, "begin").await;
    execute(&mut other, "create extension pg_trgm").await;
    let mut with_short_timeout = settings(&database);
    with_short_timeout.push(("BACKSTOCK_MIGRATION_LOCK_TIMEOUT_MS", "50".to_owned()));
    with_short_timeout.push(("BACKSTOCK_MIGRATION_LOCK_ATTEMPTS", "2".to_owned()));
    let migrated = run(&["migrate"], &with_short_timeout).await;
    assert_eq!(migrated.code, Some(1), "{}", migrated.stderr);
    assert!(
        migrated
            .stderr
            .contains("the migration 20261101000001 didn't get its locks in 2 attempts")
            && migrated.stderr.contains("run `backstock-api migrate` again"),
        "{}",
        migrated.stderr
    );
    execute(&mut other, "rollback").await;
    let migrated = run(&["migrate"], &with_short_timeout).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
}

#[tokio::test]
async fn concurrent_migrations_both_succeed() {
    let database = Database::new(Content::Schema).await;
    database
        .execute("drop index products_newest_idx, products_rating_idx")
        .await;
    let settings = settings(&database);
    let (one, other) = tokio::join!(run(&["migrate"], &settings), run(&["migrate"], &settings));
    assert_eq!(
        (one.code, other.code),
        (Some(0), Some(0)),
        "{} {}",
        one.stderr,
        other.stderr
    );
}

#[tokio::test]
async fn a_command_without_postgres_reports_it() {
    let database = Database::empty().await;
    let mut all = settings(&database);
    all.retain(|(name, _)| *name != "BACKSTOCK_DATABASE_URL");
    // No server listens on port 1.
    all.push((
        "BACKSTOCK_DATABASE_URL",
        "postgres://shop:secret@127.0.0.1:1/shop".to_owned(),
    ));
    let output = run(&["migrate"], &all).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output
            .stderr
            .contains("can't connect to Postgres at BACKSTOCK_DATABASE_URL"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
}
