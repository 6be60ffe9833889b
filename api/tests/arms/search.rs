//! Queries for which `like` and the full-text search find different products. `arms/agree/` covers those for which they
//! agree.

use crate::catalog::search::total;
use crate::support::arms::with_arm;
use crate::support::shop::TestShop;

#[tokio::test]
async fn like_matches_the_literal_text_anywhere_regardless_of_case() {
    let shop = with_arm("search", "like", TestShop::read_only).await;
    let kettles = total(&shop, "kettle").await;
    assert_eq!(total(&shop, "ettl").await, kettles);
    assert_eq!(total(&shop, "KETTLE").await, kettles);
    for not_found in ["kettles", "kettle brass", "ketle", "ket%tle", "kettl_"] {
        assert_eq!(total(&shop, not_found).await, 0, "{not_found}");
    }
}
