//! The change feed: its entries, and that a reader sees every change exactly once, even if its transaction
//! commits late.

use api::catalog::changes::{ChangeKind, Changes, Feed};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::database::{Content, Database, execute};

async fn database() -> Database {
    Database::new(Content::Catalogue).await
}

/// Reads the next changes and marks them as applied.
async fn next(feed: &mut Feed, connection: &mut PgConnection) -> Changes {
    let (changes, position) = feed.read(connection).await.unwrap();
    feed.advance(position);
    changes
}

/// A feed that has caught up.
async fn feed(connection: &mut PgConnection) -> Feed {
    let mut feed = Feed::default();
    assert!(
        next(&mut feed, connection).await.everything,
        "the first read can't know earlier changes"
    );
    feed
}

async fn id(database: &Database, slug: &str) -> Uuid {
    let id = database
        .json(&format!("select id from products where slug = '{slug}'"))
        .await;
    id.as_str().unwrap().parse().unwrap()
}

/// A statement that changes the price of a product.
fn price_change(slug: &str) -> String {
    format!(
        "update variants set price_cents = price_cents + 1
         where product_id = (select id from products where slug = '{slug}')"
    )
}

#[tokio::test]
async fn each_change_has_its_kind() {
    let database = database().await;
    let mut connection = database.connect().await;
    let mut feed = feed(&mut connection).await;
    let product = id(&database, "product-1").await;
    let of_product = "where product_id = (select id from products where slug = 'product-1')";
    let review = format!(
        "insert into reviews (id, product_id, rating, author_name, body)
         values (gen_random_uuid(), '{product}', 5, 'A', 'B')"
    );
    for (sql, kind) in [
        (price_change("product-1"), ChangeKind::Price),
        (
            format!("update variants set stock_quantity = 0 {of_product} and stock_quantity > 0"),
            ChangeKind::Stock,
        ),
        (
            format!("update variants set stock_quantity = 7 {of_product}"),
            ChangeKind::Stock,
        ),
        (review, ChangeKind::Rating),
        (
            format!("update reviews set rating = 1 {of_product}"),
            ChangeKind::Rating,
        ),
        (format!("delete from reviews {of_product}"), ChangeKind::Rating),
        (
            "update products set title = 'New' where slug = 'product-1'".to_owned(),
            ChangeKind::Product,
        ),
        (
            "update products set active = false where slug = 'product-1'".to_owned(),
            ChangeKind::Product,
        ),
        (
            format!("update variants set title = title || 'x' {of_product}"),
            ChangeKind::Product,
        ),
        (
            format!("update images set alt = 'Another' {of_product}"),
            ChangeKind::Product,
        ),
        (format!("delete from images {of_product}"), ChangeKind::Product),
        (
            format!("delete from variants {of_product} and position = 1"),
            ChangeKind::Product,
        ),
        (
            "delete from products where slug = 'product-1'".to_owned(),
            ChangeKind::Product,
        ),
    ] {
        database.execute(&sql).await;
        let changes = next(&mut feed, &mut connection).await;
        assert!(!changes.everything && !changes.reference, "{sql}");
        // Exactly once, for any number of changed rows.
        assert_eq!(
            changes
                .products
                .iter()
                .filter(|change| **change == (product, kind))
                .count(),
            1,
            "{sql}: {changes:?}"
        );
    }
}

#[tokio::test]
async fn a_change_of_brands_or_categories_names_no_product() {
    let database = database().await;
    let mut connection = database.connect().await;
    let mut feed = feed(&mut connection).await;
    for sql in [
        "update brands set name = 'New' where slug = 'brand-1'",
        "insert into brands (id, slug, name) values (gen_random_uuid(), 'new', 'New')",
        "update categories set position = 9 where slug = 'garden'",
    ] {
        database.execute(sql).await;
        let changes = next(&mut feed, &mut connection).await;
        assert!(changes.reference && changes.products.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn invisible_changes_are_not_in_it() {
    let database = database().await;
    let mut connection = database.connect().await;
    let mut feed = feed(&mut connection).await;
    for sql in [
        // A sale that doesn't sell out.
        "update variants set stock_quantity = stock_quantity - 1 where stock_quantity > 1",
        "update variants set price_cents = price_cents, title = title, stock_quantity = stock_quantity",
        "update products set sales_count = sales_count + 1, title = title, updated_at = now()",
        "update images set alt = alt",
        "update reviews set customer_id = null",
        "update brands set name = name where false",
    ] {
        database.execute(sql).await;
        let changes = next(&mut feed, &mut connection).await;
        assert!(
            !changes.everything && !changes.reference && changes.products.is_empty(),
            "{sql}: {changes:?}"
        );
    }
}

#[tokio::test]
async fn a_change_that_commits_late_is_seen_once() {
    let database = database().await;
    let mut connection = database.connect().await;
    let mut feed = feed(&mut connection).await;
    let (first, second) = (id(&database, "product-1").await, id(&database, "product-2").await);
    let third = id(&database, "product-3").await;
    let (mut early, mut late) = (database.connect().await, database.connect().await);
    // `late` begins first and ends last, across several reads.
    execute(&mut late, &format!("begin; {}", price_change("product-1"))).await;
    execute(&mut early, &format!("begin; {}", price_change("product-2"))).await;
    assert!(next(&mut feed, &mut connection).await.products.is_empty());
    execute(&mut early, "commit").await;
    assert_eq!(
        next(&mut feed, &mut connection).await.products,
        [(second, ChangeKind::Price)]
    );
    database.execute(&price_change("product-3")).await;
    assert_eq!(
        next(&mut feed, &mut connection).await.products,
        [(third, ChangeKind::Price)]
    );
    assert!(next(&mut feed, &mut connection).await.products.is_empty());
    execute(&mut late, "commit").await;
    let changes = next(&mut feed, &mut connection).await;
    assert_eq!(changes.products, [(first, ChangeKind::Price)]);
    assert!(next(&mut feed, &mut connection).await.products.is_empty());
}

#[tokio::test]
async fn changes_that_were_read_but_not_applied_are_read_again() {
    let database = database().await;
    let mut connection = database.connect().await;
    let mut feed = feed(&mut connection).await;
    database.execute(&price_change("product-1")).await;
    let expected = [(id(&database, "product-1").await, ChangeKind::Price)];
    let (changes, _) = feed.read(&mut connection).await.unwrap();
    assert_eq!(changes.products, expected);
    assert_eq!(next(&mut feed, &mut connection).await.products, expected);
    assert!(next(&mut feed, &mut connection).await.products.is_empty());
}

#[tokio::test]
async fn too_many_changes_or_a_new_epoch_mean_everything() {
    let database = database().await;
    let mut connection = database.connect().await;
    let mut feed = feed(&mut connection).await;
    let many = "insert into catalog_changes (product_id, kind) select gen_random_uuid(), 'price' from generate_series(1, ";
    database.execute(&format!("{many} 10000)")).await;
    let changes = next(&mut feed, &mut connection).await;
    assert_eq!((changes.everything, changes.products.len()), (false, 10_000));
    database.execute(&format!("{many} 10001)")).await;
    let changes = next(&mut feed, &mut connection).await;
    assert_eq!((changes.everything, changes.products.len()), (true, 0));
    // An operator does this after a restore.
    database
        .execute("update catalog_epoch set epoch = epoch + 1")
        .await;
    assert!(next(&mut feed, &mut connection).await.everything);
    assert!(!next(&mut feed, &mut connection).await.everything);
}

/// A count and a sum are maintained, so the cost doesn't grow with the number of reviews.
#[tokio::test]
async fn a_review_costs_the_same_after_ten_thousand() {
    let database = database().await;
    let mut connection = database.connect().await;
    let product = id(&database, "product-3").await;
    let insert = |count: u32| {
        format!(
            "insert into reviews (id, product_id, rating, author_name, body)
             select gen_random_uuid(), '{product}', 1 + number % 5, 'A', 'B' from generate_series(1, {count}) number"
        )
    };
    let summary =
        "select jsonb_build_array(review_count, rating_hundredths) from products where slug = 'product-3'";
    let counted = "select jsonb_build_array(count(*), round(avg(r.rating) * 100)) from reviews r
                   join products p on p.id = r.product_id where p.slug = 'product-3'";
    execute(&mut connection, &insert(1)).await;
    let hits = async |connection: &mut PgConnection| {
        let sql = "select pg_stat_get_xact_blocks_fetched('products'::regclass)
                   + pg_stat_get_xact_blocks_fetched('reviews'::regclass)";
        sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(connection)
            .await
            .unwrap()
    };
    execute(&mut connection, &insert(10_000)).await;
    assert_eq!(database.json(summary).await, database.json(counted).await);
    // Within one transaction, because Postgres publishes these statistics with a delay.
    execute(&mut connection, "begin").await;
    let before = hits(&mut connection).await;
    execute(&mut connection, &insert(1)).await;
    let blocks = hits(&mut connection).await - before;
    execute(&mut connection, "commit").await;
    assert!(blocks < 60, "{blocks} blocks");
    for sql in [
        format!("update reviews set rating = 5 where product_id = '{product}' and rating = 1"),
        format!(
            "update reviews set product_id = (select id from products where slug = 'product-4') where product_id = '{product}' and rating = 2"
        ),
        format!("delete from reviews where product_id = '{product}' and rating = 3"),
        format!("delete from reviews where product_id = '{product}'"),
    ] {
        execute(&mut connection, &sql).await;
        let counted = counted
            .replace("round(avg", "coalesce(round(avg")
            .replace("* 100)", "* 100), 0)");
        assert_eq!(
            database.json(summary).await,
            database.json(&counted).await,
            "{sql}"
        );
    }
}
