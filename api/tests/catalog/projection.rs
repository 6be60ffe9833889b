//! How `narrow` differs from `all_columns`: by the bytes that come from Postgres, and by nothing else.

use crate::support::answer::Answer;
use crate::support::arms::{arm, lesson};
use crate::support::shop::{Changes, TestShop};
use crate::support::wire::{Counted, Wire};

/// A page, and what it took, on a connection that has prepared its statements.
async fn page(projection: &str) -> (Answer, Counted) {
    let variants = arm(lesson("projection"), projection);
    let own = TestShop::start(&variants.to_string()).await;
    let wire = Wire::to(&own.database).await;
    let changes = Changes::default()
        .set("--database-url", wire.url())
        .set("--database-connections", 1);
    let mut shop = TestShop::on(own.database.clone(), variants, changes).await;
    shop.stop_following_the_epoch().await;
    let path = "/v1/products?limit=100";
    shop.get(path).await.ok();
    wire.take_counted();
    let answer = shop.get(path).await.ok();
    (answer, wire.take_counted())
}

#[tokio::test]
async fn all_columns_brings_the_descriptions_that_narrow_leaves_there() {
    let (all_answer, all) = page("all_columns").await;
    let (narrow_answer, narrow) = page("narrow").await;
    assert_eq!(all_answer.body, narrow_answer.body);
    assert_eq!(all.statements, 1);
    assert_eq!(narrow.statements, 1);
    // Each description of the fixture has more than 800 bytes.
    let saved = all.bytes_from_postgres - narrow.bytes_from_postgres;
    assert!(saved > 101 * 800, "{all:?} {narrow:?}");
    assert!(
        narrow.bytes_from_postgres * 3 < all.bytes_from_postgres,
        "{all:?} {narrow:?}"
    );
}
