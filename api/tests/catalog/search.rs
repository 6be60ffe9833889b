//! Which products a search finds, and their order.

use crate::support::shop::{Changes, TestShop};

async fn shop() -> TestShop {
    TestShop::start_with(Changes::default().without_cache()).await
}

pub async fn total(shop: &TestShop, words: &str) -> u64 {
    let encoded: String = form_urlencoded::byte_serialize(words.as_bytes()).collect();
    let facets = shop
        .get(&format!("/v1/products/facets?q={encoded}"))
        .await
        .ok()
        .json();
    facets["total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_search_finds_other_word_forms_word_orders_prefixes_and_typos() {
    let shop = shop().await;
    let kettles = total(&shop, "kettle").await;
    assert!(kettles > 20);
    for same in ["kettles", "Kettle", "KETTLES", "kettl", "kettle "] {
        assert_eq!(total(&shop, same).await, kettles, "{same}");
    }
    // The first list with words reads the statistics.
    shop.get("/v1/products?q=kettle").await.ok();
    // The full-text index finds a prefix without the fuzzy search: one statement for the estimate, and one
    // for the search.
    let prefix = shop.get("/v1/products?q=kett").await.ok();
    assert_eq!((prefix.items().len(), prefix.statements()), (20, 2));
    let brass_kettles = total(&shop, "brass kettle").await;
    assert!((1..kettles).contains(&brass_kettles));
    assert_eq!(total(&shop, "kettle brass").await, brass_kettles);
    assert_eq!(total(&shop, "kettle, of brass!").await, brass_kettles);
    assert!(total(&shop, "ketle").await > 0, "one letter is missing");
    assert!(total(&shop, "lantrn").await > 0, "one letter is missing");
    assert_eq!(total(&shop, "xylophone").await, 0);
}

#[tokio::test]
async fn a_search_ranks_a_title_above_a_description() {
    let shop = shop().await;
    // Before this, only descriptions contain the word.
    shop.database
        .execute("update products set title = 'A jewel, at last' where slug = 'product-37'")
        .await;
    let found = shop.get("/v1/products?q=jewel&fields=slug&limit=100").await.ok();
    assert_eq!(found.items()[0]["slug"], "product-37");
    assert!(found.items().len() > 10);
}

#[tokio::test]
async fn a_query_without_a_searchable_word_finds_nothing() {
    let shop = shop().await;
    for text in ["the", "a", "x", "!!", "of the"] {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for sort in ["relevance", "newest"] {
            let path = format!("/v1/products?q={encoded}&sort={sort}&brand=brand-1");
            assert!(shop.get(&path).await.ok().items().is_empty(), "{text}");
        }
    }
}

#[tokio::test]
async fn relevance_ranks_matching_titles_first_and_then_by_sales() {
    let shop = shop().await;
    shop.database
        .execute(
            "update products set title = 'Of linen' where slug in ('product-2', 'product-3', 'product-4')",
        )
        .await;
    let expected = shop
        .database
        .json(
            "select jsonb_agg(slug order by title ilike '%linen%' desc, sales_count desc, id desc) from products
             where active and (title ilike '%linen%' or description ilike '%linen%')",
        )
        .await;
    let pages = shop.follow("/v1/products?q=linen&limit=9&fields=slug").await;
    let visited: Vec<serde_json::Value> = pages
        .iter()
        .flat_map(|page| {
            page.items()
                .iter()
                .map(|item| item["slug"].clone())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(serde_json::Value::from(visited), expected);
}

#[tokio::test]
async fn search_rows_follow_every_write_and_documents_only_change_with_their_text() {
    let shop = shop().await;
    let document = "select to_jsonb(document::text) from search_rows s join products p on p.id = s.product_id
                    where p.slug = 'product-7'";
    let before = shop.database.json(document).await;
    shop.database
        .execute("update variants set price_cents = price_cents + 1 where sku like 'SKU-7-%'")
        .await;
    shop.database
        .execute("update products set sales_count = sales_count + 9 where slug = 'product-7'")
        .await;
    assert_eq!(shop.database.json(document).await, before);
    let differing = "select count(*) from products p left join search_rows s on s.product_id = p.id
                     where (p.title, p.price_cents, p.sales_count, p.rating_hundredths, p.in_stock, p.active, p.created_at)
                           is distinct from (s.title, s.price_cents, s.sales_count, s.rating_hundredths, s.in_stock, s.active, s.created_at)
                        or s.document is distinct from search_row_document(
                               product_search_document(p.title, p.description), p.brand_id, category_path(p.category_id), p.in_stock)";
    assert_eq!(shop.database.number(differing).await, 0);
    shop.database
        .execute(
            "update variants set stock_quantity = 0 where product_id in (select id from products where slug < 'product-2');
             update variants set stock_quantity = 5 where product_id in (select id from products where slug > 'product-5');
             update products set title = 'Renamed', brand_id = (select max(id::text)::uuid from brands) where slug = 'product-7';
             update categories set parent_id = (select id from categories where slug = 'garden') where slug = 'coats';
             update products set active = not active where slug > 'product-8'",
        )
        .await;
    assert_eq!(shop.database.number(differing).await, 0);
}

#[tokio::test]
async fn the_pages_of_a_search_with_a_typo_contain_every_match() {
    let shop = shop().await;
    let pages = shop.follow("/v1/products?q=ketle&limit=7").await;
    let visited: u64 = pages.iter().map(|page| page.items().len() as u64).sum();
    assert_eq!(visited, total(&shop, "ketle").await);
    assert!(pages.len() > 1);
    // The first page searches for the misspelled words before it corrects them; later pages only correct them. The
    // first search of a process also reads the planner's statistics, in two statements.
    assert_eq!(pages[0].statements(), 7);
    assert_eq!(pages[1].statements(), 3);
}
