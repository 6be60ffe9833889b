//! Without a cache, every request queries Postgres.

use crate::catalog::cache::{PATHS, cached, queries_postgres};
use crate::support::arms::with_arm;
use crate::support::shop::TestShop;

#[tokio::test]
async fn without_a_cache_every_request_queries_postgres() {
    let shop = with_arm("catalog_cache", "none", TestShop::read_only).await;
    for path in PATHS {
        for _ in 0..2 {
            let response = shop.get(path).await.ok();
            assert_eq!(
                (response.cache().as_str(), response.statements() > 0),
                ("none", queries_postgres(path)),
                "{path}"
            );
        }
    }
    assert!(cached(&shop).await.is_empty());
}
