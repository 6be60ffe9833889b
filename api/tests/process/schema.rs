//! A shop serves only the schema and the index set that it was built and started for.

use storefront::variants::Variants;

use crate::support::database::{Content, Database};
use crate::support::process::{Process, run, settings};

async fn refusal(database: &Database) -> String {
    let ended = run(&["serve"], &settings(database)).await;
    assert_ne!(ended.code, Some(0));
    ended.stderr
}

#[tokio::test]
async fn it_refuses_a_database_without_a_schema_and_migrate_makes_one() {
    let database = Database::empty().await;
    assert!(
        refusal(&database)
            .await
            .contains("run `backstock-api migrate` first")
    );
    let migrated = run(&["migrate"], &settings(&database)).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert!(
        migrated
            .stdout
            .contains("up to date, with the index set `chosen`"),
        "{}",
        migrated.stdout
    );
    // Twice does no harm.
    assert_eq!(run(&["migrate"], &settings(&database)).await.code, Some(0));
    let shop = Process::serve(&settings(&database)).await;
    assert_eq!(shop.get("/v1/products").await.ok().items().len(), 0);
    assert_eq!(shop.get("/v1/categories").await.ok().items().len(), 0);
}

#[tokio::test]
async fn it_refuses_an_older_and_a_newer_schema() {
    let database = Database::new(Content::Schema, Variants::optimized().indexes).await;
    database
        .execute("insert into _sqlx_migrations select 29990101000000, 'later', now(), true, '', 0")
        .await;
    let said = refusal(&database).await;
    assert!(
        said.contains("newer than this build: it has migration 29990101000000")
            && said.contains("start a build that knows it"),
        "{said}"
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
    let said = refusal(&database).await;
    assert!(
        said.contains("older than this build (1 missing); run `backstock-api migrate`"),
        "{said}"
    );
}

#[tokio::test]
async fn it_refuses_another_index_set() {
    let database = Database::new(Content::Schema, Variants::optimized().indexes).await;
    database.execute("update index_set set arm = 'none'").await;
    let said = refusal(&database).await;
    assert!(
        said.contains("run `backstock-api migrate --indexes chosen`"),
        "{said}"
    );
    assert!(said.contains("BACKSTOCK_VARIANTS=…,indexes=none"), "{said}");
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn an_index_set_is_changed_back_and_forth() {
    let database = Database::new(Content::Schema, Variants::optimized().indexes).await;
    for arm in ["none", "foreign_keys", "chosen", "foreign_keys"] {
        let migrated = run(&["migrate", "--indexes", arm], &settings(&database)).await;
        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
        assert_eq!(database.json("select arm from index_set").await, arm);
        let by_brand = database
            .number("select count(*) from pg_class where relname = 'products_brand_id_idx'")
            .await;
        assert_eq!(by_brand, i64::from(arm == "foreign_keys"));
    }
    // The preset says it, too.
    let mut baseline = settings(&database);
    baseline.push(("BACKSTOCK_VARIANTS", "baseline".to_owned()));
    Process::serve(&baseline).await.get("/v1/products").await.ok();
}

#[tokio::test]
async fn migrate_names_the_index_sets_that_there_are() {
    let database = Database::empty().await;
    let ended = run(&["migrate", "--indexes", "all"], &settings(&database)).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("its arms are:") && ended.stderr.contains("chosen"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_command_without_postgres_says_so() {
    let database = Database::empty().await;
    let mut all = settings(&database);
    all.retain(|(name, _)| *name != "BACKSTOCK_DATABASE_URL");
    // Nobody listens on port 1.
    all.push((
        "BACKSTOCK_DATABASE_URL",
        "postgres://shop:secret@127.0.0.1:1/shop".to_owned(),
    ));
    let ended = run(&["migrate"], &all).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("can't connect to Postgres at BACKSTOCK_DATABASE_URL"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}
