//! Invalid requests of admins: the problem names the parameter, and nothing changes.

use axum::http::Request;
use serde_json::{Value, json};

use super::{AdminClient, eur};
use crate::support::shop::TestShop;

/// Everything that an admin can change, the audit log and the change feed.
async fn snapshot(shop: &TestShop) -> Value {
    shop.database
        .json(
            "select jsonb_build_array((select jsonb_agg(p order by id) from products p),
                                      (select jsonb_agg(v order by id) from variants v),
                                      (select count(*) from audit_log), (select count(*) from catalog_changes))",
        )
        .await
}

/// A change of the title and one price.
fn change_with_price(price: &Value) -> Value {
    json!({ "title": "New", "prices": [{ "sku": "SKU-1-0", "price": price }] })
}

/// Invalid changes, and the parameter that the problem names.
fn invalid_changes() -> Vec<(Value, &'static str)> {
    vec![
        (json!({}), "body"),
        (json!([]), "body"),
        (json!({ "title": "" }), "title"),
        (json!({ "title": " " }), "title"),
        (json!({ "title": null }), "title"),
        (json!({ "title": "a\nb" }), "title"),
        (json!({ "title": "x".repeat(256) }), "title"),
        (json!({ "description": "a\u{0}b" }), "description"),
        (json!({ "description": "<b>".repeat(5_001) }), "description"),
        (json!({ "description": 7 }), "description"),
        (json!({ "active": "no" }), "active"),
        (json!({ "active": null }), "active"),
        (json!({ "slug": "other" }), "slug"),
        (json!({ "stock_quantity": 7 }), "stock_quantity"),
        (json!({ "price": eur(-1) }), "price.amount"),
        (json!({ "price": { "amount": 1 } }), "price"),
        (json!({ "price": eur(1), "prices": [] }), "price"),
        (change_with_price(&eur(-1)), "prices[0].price.amount"),
        (
            change_with_price(&eur(1_000_000_000_001)),
            "prices[0].price.amount",
        ),
        (
            change_with_price(&json!({ "amount": 1.5, "currency": "EUR" })),
            "prices[0].price.amount",
        ),
        (
            change_with_price(&json!({ "amount": "1", "currency": "EUR" })),
            "prices[0].price.amount",
        ),
        (
            change_with_price(&json!({ "amount": 1, "currency": "euro" })),
            "prices[0].price.currency",
        ),
        (
            change_with_price(&json!({ "amount": 1, "currency": "EUR", "tax": 0 })),
            "prices[0].price.tax",
        ),
        (change_with_price(&Value::Null), "prices[0].price"),
        (
            json!({ "prices": [{ "sku": "SKU-2-0", "price": eur(1) }] }),
            "prices[0].sku",
        ),
        (
            json!({ "prices": [{ "sku": "SKU-1-0", "price": eur(1) }, { "sku": "SKU-1-0", "price": eur(2) }] }),
            "prices[1].sku",
        ),
    ]
}

#[tokio::test]
async fn an_invalid_change_is_rejected_entirely() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    let before = snapshot(&shop).await;
    for (change, parameter) in invalid_changes() {
        let problem = admin
            .change("product-1", &change)
            .await
            .problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{problem}");
    }
    let dollars = change_with_price(&json!({ "amount": 1, "currency": "USD" }));
    admin
        .change("product-1", &dollars)
        .await
        .problem(409, "currency_differs");
    for slug in ["no-such-product", "%00", "%FF", &"x".repeat(300)] {
        admin
            .change(slug, &json!({ "active": false }))
            .await
            .problem(404, "not_found");
    }
    let large = json!({ "description": "x".repeat(70_000) });
    admin
        .change("product-1", &large)
        .await
        .problem(413, "payload_too_large");
    assert_eq!(snapshot(&shop).await, before);
}

#[tokio::test]
async fn stock_is_an_integer_for_an_existing_sku() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    let before = snapshot(&shop).await;
    for quantity in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(1_000_000_001),
        json!(i64::MAX),
    ] {
        let problem = admin
            .set_stock("SKU-1-0", quantity)
            .await
            .problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "quantity");
    }
    let request = admin.person.authorize(Request::put("/v1/admin/stock/SKU-1-0"));
    let problem = shop.send_json(request, &json!({ "quantity": 1, "add": 1 })).await;
    assert_eq!(problem.problem(400, "invalid_parameter")["parameter"], "add");
    for sku in ["SKU-0-0", "%00", "%FF", &"x".repeat(300)] {
        admin.set_stock(sku, 1).await.problem(404, "not_found");
    }
    assert_eq!(snapshot(&shop).await, before);
    // The stock of an inactive product can be set as well.
    admin.set_stock("SKU-11-0", 1_000_000_000).await.ok();
}

#[tokio::test]
async fn unknown_and_invalid_parameters_are_rejected() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    for (path, parameter) in [
        ("/v1/admin/orders?status=lost", "status"),
        ("/v1/admin/orders?limit=0", "limit"),
        ("/v1/admin/orders?limit=101", "limit"),
        ("/v1/admin/orders?after=", "after"),
        ("/v1/admin/orders?customer=1", "customer"),
        ("/v1/admin/audit-log?limit=x", "limit"),
        ("/v1/admin/audit-log?after=garbage", "after"),
        ("/v1/admin/audit-log?action=stock.set", "action"),
    ] {
        let problem = admin.get(path).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{path}");
    }
}
