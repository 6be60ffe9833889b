//! The generated catalogue in a database: what it derives is what the schema's triggers derive, search words find
//! what their rule says, and the load leaves the schema as it was.

#![allow(
    clippy::unwrap_used,
    reason = "functions that tests share may fail as tests do"
)]

mod generate_support;

use std::collections::BTreeSet;

use dataset::load::{self, Existing};
use dataset::series::{self, WORDS};
use dataset::{Catalogue, Command, Scale};
use generate_support::TestDatabase;
use sqlx::{Connection, PgConnection};

fn command(database: &TestDatabase, replace: bool) -> Command {
    Command {
        scale: Scale::Xs,
        seed: 1,
        database_url: database.url().to_owned(),
        replace,
        print_digest: false,
    }
}

async fn count(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn derived_columns_equal_what_the_triggers_compute() {
    let database = TestDatabase::migrated("derived").await;
    command(&database, false).run().await.unwrap();
    let mut connection = database.connect().await;
    let products = count(&mut connection, "select count(*) from products").await;
    assert_eq!(products as u64, Scale::Xs.products());

    let wrong = count(&mut connection, include_str!("generate_derived.sql")).await;
    assert_eq!(wrong, 0, "{wrong} products differ from what SQL computes");

    // And the triggers are on again: they carry every change on.
    let before: Vec<String> = sqlx::query_scalar("select p::text from products p order by id")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    for update in [
        "update variants set stock_quantity = case when stock_quantity = 0 then 1 else 0 end",
        "update variants set stock_quantity = 0",
        "update images set alt = alt || '.'",
        "update reviews set rating = 6 - rating",
    ] {
        sqlx::raw_sql(update).execute(&mut connection).await.unwrap();
    }
    let changed = count(&mut connection, include_str!("generate_derived.sql")).await;
    assert_eq!(changed, 0, "the triggers are off, or compute something else");
    let after: Vec<String> = sqlx::query_scalar("select p::text from products p order by id")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_ne!(before, after, "the updates were meant to reach the products");
    database.drop().await;
}

#[tokio::test]
async fn a_load_leaves_constraints_indexes_and_triggers_as_they_were() {
    let database = TestDatabase::migrated("definitions").await;
    let mut connection = database.connect().await;
    sqlx::raw_sql(include_str!("../../migrations/indexes/chosen.sql"))
        .execute(&mut connection)
        .await
        .unwrap();
    let definitions = "
        select concat(conname, pg_get_constraintdef(oid), convalidated) from pg_constraint
            where connamespace = 'public'::regnamespace
        union all select concat(pg_get_indexdef(indexrelid), indisvalid) from pg_index
            where indrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)
        union all select concat(tgname, tgenabled, tgrelid::regclass) from pg_trigger where not tgisinternal
        order by 1";
    let before: Vec<String> = sqlx::query_scalar(definitions)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let epoch = count(&mut connection, "select epoch from catalog_epoch").await;

    command(&database, false).run().await.unwrap();
    let refused = command(&database, false).run().await.unwrap_err().to_string();
    assert!(refused.contains("--replace"), "{refused}");
    command(&database, true).run().await.unwrap();

    let after: Vec<String> = sqlx::query_scalar(definitions)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(before, after);
    assert_eq!(
        count(&mut connection, "select epoch from catalog_epoch").await,
        epoch + 2
    );
    assert_eq!(
        count(&mut connection, "select count(*) from product_search").await,
        1_000
    );
    let wrong = "select count(*) from products join product_search on product_id = id
        where document <> product_search_document(title, description)";
    assert_eq!(count(&mut connection, wrong).await, 0);
    database.drop().await;
}

#[tokio::test]
async fn an_interrupted_load_changes_nothing() {
    let database = TestDatabase::migrated("interrupted").await;
    let mut connection = database.connect().await;
    // The documents come last, after all rows: they fail.
    sqlx::raw_sql("alter table product_search add constraint refuse check (product_id is null)")
        .execute(&mut connection)
        .await
        .unwrap();
    command(&database, false).run().await.unwrap_err();
    assert_eq!(count(&mut connection, "select count(*) from products").await, 0);
    sqlx::query("insert into brands (id, slug, name) values (gen_random_uuid(), 'a', 'A'), (gen_random_uuid(), 'a', 'A')")
        .execute(&mut connection)
        .await
        .expect_err("the unique constraint is still there");
    database.drop().await;
}

#[tokio::test]
async fn a_database_without_tables_is_sent_to_migrate() {
    let database = TestDatabase::empty("unmigrated").await;
    let mut connection = database.connect().await;
    let fault = load::check(&mut connection, Existing::Refuse)
        .await
        .unwrap_err()
        .to_string();
    assert!(fault.contains("backstock-api migrate"), "{fault}");
    database.drop().await;
}

#[tokio::test]
async fn search_words_find_the_same_products_by_pattern_and_by_full_text() {
    let database = TestDatabase::migrated("words").await;
    command(&database, false).run().await.unwrap();
    let mut connection = database.connect().await;
    let catalogue = Catalogue::new(Scale::Xs, 1);
    for number in 0..catalogue.series.count() {
        let word = catalogue.series.word(number);
        let expected: BTreeSet<_> = catalogue
            .series
            .products_found(number)
            .into_iter()
            .map(|product| catalogue.product_id(product))
            .collect();
        for query in [
            "select id from products where title ilike '%' || $1 || '%' or description ilike '%' || $1 || '%'",
            "select product_id from product_search where document @@ plainto_tsquery('english', $1)",
            "select product_id from product_search where document @@ to_tsquery('english', $1 || ':*')",
        ] {
            let found: Vec<sqlx::types::Uuid> = sqlx::query_scalar(query)
                .bind(&word)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            assert_eq!(
                found.into_iter().collect::<BTreeSet<_>>(),
                expected,
                "{word}: {query}"
            );
        }
    }
    database.drop().await;
}

#[tokio::test]
async fn the_english_stemmer_keeps_every_search_word() {
    let database = TestDatabase::empty("stems").await;
    let mut connection = database.connect().await;
    let words: Vec<String> = (0..WORDS)
        .map(|number| series::spell(number).to_lowercase())
        .collect();
    let stemmed: Vec<String> = sqlx::query_scalar(
        "select word from unnest($1::text[]) as word where ts_lexize('english_stem', word) <> array[word]",
    )
    .bind(&words)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(stemmed, Vec::<String>::new());
    connection.close().await.unwrap();
    database.drop().await;
}
