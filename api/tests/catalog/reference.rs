//! Brands and categories are held in the process: known ones cost no statement, and new ones are found
//! immediately.

use crate::support::shop::TestShop;

async fn shop() -> TestShop {
    let mut shop = TestShop::start().await;
    shop.stop_following_changes().await;
    shop
}

#[tokio::test]
async fn known_slugs_cost_no_statement_and_an_unknown_one_costs_one() {
    let shop = shop().await;
    for known in ["category=garden", "brand=brand-1"] {
        let response = shop.get(&format!("/v1/products?{known}")).await.ok();
        assert!(!response.items().is_empty(), "{known}");
        assert_eq!(response.statements(), 1, "{known}");
    }
    for unknown in [
        "category=unknown",
        "brand=unknown",
        "category=unknown&brand=unknown",
        "category=home&brand=unknown&q=kettle",
    ] {
        let response = shop.get(&format!("/v1/products?{unknown}")).await.ok();
        assert!(response.items().is_empty(), "{unknown}");
        // With search words there is also a fuzzy search, which doesn't look up the slugs again.
        assert_eq!(response.statements(), 1, "{unknown}");
    }
}

#[tokio::test]
async fn a_new_brand_and_category_are_found_immediately() {
    let shop = shop().await;
    shop.database
        .execute(
            "insert into brands (id, slug, name) values (gen_random_uuid(), 'brand-new', 'Brand new');
             insert into categories (id, slug, name, parent_id)
             values (gen_random_uuid(), 'hats', 'Hats', (select id from categories where slug = 'clothing'));
             insert into products (id, brand_id, category_id, slug, title, created_at)
             select gen_random_uuid(), b.id, c.id, 'a-hat', 'A hat', now()
             from brands b, categories c where b.slug = 'brand-new' and c.slug = 'hats'",
        )
        .await;
    for path in [
        "limit=1",
        "brand=brand-new",
        "category=hats",
        "q=hat",
        "category=clothing&brand=brand-new&q=hat",
    ] {
        let response = shop.get(&format!("/v1/products?{path}")).await.ok();
        let first = &response.items()[0];
        assert_eq!(first["slug"], "a-hat", "{path}");
        assert_eq!(first["brand"]["name"], "Brand new", "{path}");
        assert_eq!(first["category"]["slug"], "hats", "{path}");
    }
}
