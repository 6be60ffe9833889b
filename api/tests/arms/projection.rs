//! `narrow` and `all_columns` differ in the bytes that come from Postgres, and in nothing else.

use crate::support::arms::with_arm;
use crate::support::postgres_proxy::{PostgresProxy, Traffic};
use crate::support::response::TestResponse;
use crate::support::shop::{Changes, TestShop};

/// A response and its traffic, on a connection with prepared statements.
async fn page() -> (TestResponse, Traffic) {
    let own = TestShop::start().await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .set("--database-connections", 1);
    let mut shop = TestShop::on(own.database.clone(), changes).await;
    shop.stop_following_changes().await;
    let path = "/v1/products?limit=100";
    shop.get(path).await.ok();
    proxy.take_traffic();
    let response = shop.get(path).await.ok();
    (response, proxy.take_traffic())
}

#[tokio::test]
async fn all_columns_transfers_the_descriptions_and_narrow_does_not() {
    let (all_response, all) = with_arm("projection", "all_columns", page).await;
    let (narrow_response, narrow) = with_arm("projection", "narrow", page).await;
    assert_eq!(all_response.body, narrow_response.body);
    assert_eq!(all.statements, 1);
    assert_eq!(narrow.statements, 1);
    // Each description in the fixture has more than 800 bytes.
    let saved = all.bytes_from_postgres - narrow.bytes_from_postgres;
    assert!(saved > 101 * 800, "{all:?} {narrow:?}");
    assert!(
        narrow.bytes_from_postgres * 3 < all.bytes_from_postgres,
        "{all:?} {narrow:?}"
    );
}
