//! What each arm of `search` finds beyond the other. Where both must find the same is in `arms_agree.rs`.

use crate::support::arms::{arm, lesson};
use crate::support::shop::TestShop;

async fn shop(search: &str) -> TestShop {
    TestShop::start(&arm(lesson("search"), search).to_string()).await
}

async fn total(shop: &TestShop, words: &str) -> u64 {
    let encoded: String = form_urlencoded::byte_serialize(words.as_bytes()).collect();
    let facets = shop
        .get(&format!("/v1/products/facets?q={encoded}"))
        .await
        .ok()
        .json();
    facets["total"].as_u64().unwrap()
}

#[tokio::test]
async fn full_text_finds_other_forms_other_orders_beginnings_and_typos() {
    let shop = shop("full_text").await;
    let kettles = total(&shop, "kettle").await;
    assert!(kettles > 20);
    for same in ["kettles", "Kettle", "KETTLES", "kettl", "kettle "] {
        assert_eq!(total(&shop, same).await, kettles, "{same}");
    }
    // A beginning is found by the words' own index, not by what forgives typos.
    let beginning = shop.get("/v1/products?q=kett").await.ok();
    assert_eq!((beginning.items().len(), beginning.statements()), (20, 1));
    let brass_kettles = total(&shop, "brass kettle").await;
    assert!((1..kettles).contains(&brass_kettles));
    assert_eq!(total(&shop, "kettle brass").await, brass_kettles);
    assert_eq!(total(&shop, "kettle, of brass!").await, brass_kettles);
    assert!(total(&shop, "ketle").await > 0, "one letter is missing");
    assert!(total(&shop, "lantrn").await > 0, "one letter is missing");
    assert_eq!(total(&shop, "xylophone").await, 0);
}

#[tokio::test]
async fn full_text_ranks_a_title_above_a_description() {
    let shop = shop("full_text").await;
    // Only descriptions have the word, until now.
    shop.database
        .execute("update products set title = 'A jewel, at last' where slug = 'product-37'")
        .await;
    let found = shop.get("/v1/products?q=jewel&fields=slug&limit=100").await.ok();
    assert_eq!(found.items()[0]["slug"], "product-37");
    assert!(found.items().len() > 10);
}

#[tokio::test]
async fn what_typos_find_is_followed_to_its_end() {
    let shop = shop("full_text").await;
    let pages = shop.follow("/v1/products?q=ketle&limit=7").await;
    let visited: u64 = pages.iter().map(|page| page.items().len() as u64).sum();
    assert_eq!(visited, total(&shop, "ketle").await);
    assert!(pages.len() > 1);
    // After the first page, the words are not tried again.
    assert_eq!(pages[0].statements(), 2);
    assert_eq!(pages[1].statements(), 1);
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn like_finds_the_middle_of_a_word_and_the_text_as_it_stands_only() {
    let shop = shop("like").await;
    let kettles = total(&shop, "kettle").await;
    assert_eq!(total(&shop, "ettl").await, kettles);
    assert_eq!(total(&shop, "KETTLE").await, kettles);
    for not_found in ["kettles", "kettle brass", "ketle", "ket%tle", "kettl_"] {
        assert_eq!(total(&shop, not_found).await, 0, "{not_found}");
    }
}
