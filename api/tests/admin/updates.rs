//! Changes: their effect, their entries in the audit log, and their cost in statements.

use serde_json::{Value, json};

use super::{AdminClient, eur};
use crate::support::database::execute;
use crate::support::shop::TestShop;
use crate::support::until;

#[tokio::test]
async fn a_change_its_audit_entry_and_its_feed_entry_are_atomic() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    let changes = admin.change_count().await;
    let change = json!({
        "title": " A quieter lantern ",
        "description": "<p onclick=\"x()\">It <b>glows</b>.</p><script>alert(1)</script>",
        "prices": [
            { "sku": "SKU-1-0", "price": eur(5000), "compare_at_price": eur(9799) },
            { "sku": "SKU-1-1", "price": eur(9949) },
        ],
    });
    let changed = admin.change("product-1", &change).await.ok();
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("admin_product", changed.json());
    });
    let changes_after = admin.change_count().await;
    assert!(changes_after > changes);
    let log = admin.get("/v1/admin/audit-log").await.ok();
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("audit_log", log.json(), {
            ".items[].id" => "[id]", ".items[].at" => "[at]", ".items[].customer_id" => "[customer]",
            ".items[].email" => "[email]", ".items[].before.description" => "[description]",
        });
    });
    assert_eq!(log.items()[0]["customer_id"], json!(admin.person.id));

    // The same change again has no effect, so it adds neither an audit entry nor a feed entry.
    let again = admin.change("product-1", &change).await.ok();
    assert_eq!(again.json(), changed.json());
    assert_eq!(
        (admin.log().await.len(), admin.change_count().await),
        (1, changes_after)
    );
}

#[tokio::test]
async fn readers_see_the_current_product() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    let product = async || {
        shop.get("/v1/products/product-1?include=variants")
            .await
            .ok()
            .json()
    };
    let seen = async |what: &str, predicate: fn(&Value) -> bool| {
        until(what, async || predicate(&product().await).then_some(())).await;
    };
    admin
        .change("product-1", &json!({ "title": "Xylophone" }))
        .await
        .ok();
    seen("the title", |product| product["title"] == "Xylophone").await;
    let found = shop.get("/v1/products?q=xylophone").await.ok();
    assert_eq!(found.each("slug"), [json!("product-1")]);

    let prices = json!({ "prices": [{ "sku": "SKU-1-1", "price": eur(1), "compare_at_price": eur(2) }] });
    admin.change("product-1", &prices).await.ok();
    seen("the price", |product| product["price"] == eur(1)).await;
    assert_eq!(product().await["compare_at_price"], eur(2));
    assert_eq!(
        shop.get("/v1/products?sort=price_asc&limit=1")
            .await
            .ok()
            .each("slug"),
        [json!("product-1")]
    );
    let prices = json!({ "prices": [{ "sku": "SKU-1-1", "compare_at_price": null }] });
    admin.change("product-1", &prices).await.ok();
    seen("the former price is gone", |product| {
        product["compare_at_price"].is_null()
    })
    .await;

    admin.change("product-1", &json!({ "active": false })).await.ok();
    until("it is no longer shown", async || {
        (shop.get("/v1/products/product-1").await.status == 404).then_some(())
    })
    .await;
    assert!(shop.get("/v1/products?q=xylophone").await.ok().items().is_empty());
    admin.change("product-1", &json!({ "active": true })).await.ok();
    until("it is shown again", async || {
        (shop.get("/v1/products/product-1").await.status == 200).then_some(())
    })
    .await;
    let logged: Vec<Value> = admin
        .log()
        .await
        .into_iter()
        .map(|[_, _, _, after]| after)
        .collect();
    assert_eq!(
        logged,
        [
            json!({ "active": true }),
            json!({ "active": false }),
            json!({ "prices": { "SKU-1-1": { "compare_at_price": null } } }),
            json!({ "prices": { "SKU-1-1": { "price": eur(1), "compare_at_price": eur(2) } } }),
            json!({ "title": "Xylophone" }),
        ]
    );
}

#[tokio::test]
async fn a_price_without_a_sku_needs_a_product_with_one_variant() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    let changed = admin
        .change("product-3", &json!({ "price": eur(1234) }))
        .await
        .ok()
        .json();
    assert_eq!(changed["variants"][0]["price"], eur(1234));
    admin
        .change("product-1", &json!({ "price": eur(1234) }))
        .await
        .problem(409, "several_variants");
}

#[tokio::test]
async fn stock_is_set_and_only_changes_of_availability_are_published() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    // Its first variant has one unit, its second has two.
    let shown = async || {
        let product = shop
            .get("/v1/products/product-1?include=variants")
            .await
            .ok()
            .json();
        (
            product["in_stock"] == true,
            product["variants"][0]["available"] == true,
        )
    };
    assert_eq!(shown().await, (true, true));
    let changes = admin.change_count().await;
    let set = admin.set_stock("SKU-1-0", 50).await.ok();
    assert_eq!(
        set.json(),
        json!({ "sku": "SKU-1-0", "old_quantity": 1, "quantity": 50 })
    );
    // Cached responses don't contain the quantity, so they remain valid.
    assert_eq!((set.statements(), admin.change_count().await), (3, changes));

    let set = admin.set_stock("SKU-1-0", 0).await.ok();
    assert_eq!(
        (set.json()["old_quantity"].clone(), set.statements()),
        (json!(50), 3)
    );
    assert!(admin.change_count().await > changes);
    until("the variant is sold out", async || {
        (shown().await == (true, false)).then_some(())
    })
    .await;
    admin.set_stock("SKU-1-1", 0).await.ok();
    until("the product is sold out", async || {
        (shown().await == (false, false)).then_some(())
    })
    .await;
    admin.set_stock("SKU-1-0", 3).await.ok();
    until("the product is available again", async || {
        (shown().await == (true, true)).then_some(())
    })
    .await;

    let changes = admin.change_count().await;
    admin.set_stock("SKU-1-0", 3).await.ok();
    assert_eq!(
        (admin.change_count().await, admin.log().await.len()),
        (changes, 4),
        "no change"
    );
    let newest = &admin.log().await[0];
    assert_eq!(
        newest,
        &[
            json!("stock.set"),
            json!("SKU-1-0"),
            json!({ "quantity": 0 }),
            json!({ "quantity": 3 })
        ]
    );
}

#[tokio::test]
async fn each_change_takes_a_fixed_number_of_statements() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    // Begin, two locks, one write, commit.
    let change = json!({ "title": "New", "prices": [{ "sku": "SKU-2-0", "price": eur(1) }, { "sku": "SKU-2-1", "price": eur(2) }] });
    assert_eq!(admin.change("product-2", &change).await.ok().statements(), 5);
    assert_eq!(admin.change("product-2", &change).await.ok().statements(), 4);
    assert_eq!(admin.get("/v1/admin/audit-log").await.ok().statements(), 1);
    assert_eq!(admin.get("/v1/admin/orders").await.ok().statements(), 1);
    assert_eq!(
        admin.get("/v1/admin/orders?status=paid").await.ok().statements(),
        1
    );
}

/// The audit log must neither miss a change nor contain one that was rolled back.
#[tokio::test]
async fn a_change_that_can_not_be_audited_is_rolled_back() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    shop.database.execute("delete from customers").await;
    let products = "select jsonb_build_array((select jsonb_agg(p order by id) from products p), (select jsonb_agg(v order by id) from variants v))";
    let before = shop.database.json(products).await;
    let changes = admin.change_count().await;
    admin
        .change("product-1", &json!({ "title": "New" }))
        .await
        .problem(401, "unauthenticated");
    admin
        .set_stock("SKU-1-0", 0)
        .await
        .problem(401, "unauthenticated");
    assert_eq!(shop.database.json(products).await, before);
    assert_eq!(admin.change_count().await, changes);
}

/// Concurrent changes serialize, and each audit entry has the value that it replaced.
#[tokio::test]
async fn concurrent_changes_are_serialized() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    for round in 0..10 {
        let (one, other) = (
            json!({ "price": eur(1000 + round) }),
            json!({ "price": eur(2000 + round) }),
        );
        let (a, b) = tokio::join!(admin.change("product-3", &one), admin.change("product-3", &other));
        a.ok();
        b.ok();
    }
    let mut log = admin.log().await;
    log.reverse();
    assert_eq!(log.len(), 20);
    for pair in log.windows(2) {
        assert_eq!(
            pair[0][3], pair[1][2],
            "each change starts from the result of the previous one"
        );
    }
}

/// A sale locks a variant, and then its product if it sells out. A change with the opposite lock order would
/// deadlock with it.
#[tokio::test]
async fn a_change_and_a_sale_do_not_deadlock() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    for change in [
        json!({ "price": eur(1), "title": "New" }),
        json!({ "title": "Newer" }),
    ] {
        admin.set_stock("SKU-3-0", 2).await.ok();
        let mut sale = shop.database.connect().await;
        execute(
            &mut sale,
            "begin; update variants set stock_quantity = 1 where sku = 'SKU-3-0'",
        )
        .await;
        let selling = async {
            until("the change waits for the sale", async || {
                (shop.database.waiting_for_lock().await > 0).then_some(())
            })
            .await;
            execute(
                &mut sale,
                "update variants set stock_quantity = 0 where sku = 'SKU-3-0'; commit",
            )
            .await;
        };
        let (changed, ()) = tokio::join!(admin.change("product-3", &change), selling);
        assert_eq!(
            changed.ok().json()["variants"][0]["stock_quantity"],
            0,
            "the change reads the stock after the sale"
        );
    }
}
