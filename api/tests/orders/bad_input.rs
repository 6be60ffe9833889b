//! Invalid orders are rejected with a problem that names the reason, and nothing changes.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use super::shop::{Buyer, Shop, expect, order, with};

/// Nothing was written, reserved or authorized.
async fn assert_nothing_happened(shop: &Shop) {
    let rows = "select (select count(*) from orders) + (select count(*) from idempotency_keys)
                     + (select count(*) from outbox)";
    assert_eq!(
        (shop.database.number(rows).await, shop.gateway.authorizations()),
        (0, 0)
    );
    assert_eq!(shop.stock("SKU-1-0").await, 5);
}

#[tokio::test]
async fn a_body_that_deviates_from_the_schema_is_rejected() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let good = order(cart);
    let address = |field: &str, value: Value| {
        let address = with(good["shipping_address"].clone(), field, value);
        with(good.clone(), "shipping_address", address)
    };
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        body
    };
    for (body, parameter) in [
        (with(good.clone(), "total", 1), "total"),
        (
            with(good.clone(), "items", json!([{ "sku": "SKU-1-0", "price": 1 }])),
            "items",
        ),
        (with(good.clone(), "cart_id", "1"), "cart_id"),
        (with(good.clone(), "email", "no-address"), "email"),
        (with(good.clone(), "email", ""), "email"),
        (
            with(good.clone(), "shipping_method", "teleport"),
            "shipping_method",
        ),
        (with(good.clone(), "payment_token", ""), "payment_token"),
        (with(good.clone(), "expected_total", 12), "expected_total"),
        (address("country", json!("Norway")), "shipping_address.country"),
        (address("country", json!("XX")), "shipping_address.country"),
        (address("city", json!(" ")), "shipping_address.city"),
        (address("line1", json!("x".repeat(256))), "shipping_address.line1"),
        (address("planet", json!("Earth")), "shipping_address.planet"),
        (without("shipping_address"), "body"),
        (without("payment_token"), "body"),
        (json!([]), "body"),
    ] {
        let problem = shop
            .place(&buyer, "key", &body)
            .await
            .problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{problem}");
    }
    assert_nothing_happened(&shop).await;
}

#[tokio::test]
async fn a_key_is_required_and_is_visible_ascii() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let post = || buyer.identify(Request::post("/v1/orders"));
    let long = "k".repeat(256);
    for request in [
        post(),
        post().header("idempotency-key", ""),
        post().header("idempotency-key", "two words"),
        post().header("idempotency-key", "caf\u{e9}".as_bytes()),
        post().header("idempotency-key", long.as_str()),
        post()
            .header("idempotency-key", "one")
            .header("idempotency-key", "two"),
    ] {
        let problem = shop
            .send_json(request, &order(cart))
            .await
            .problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "idempotency-key");
    }
    assert_nothing_happened(&shop).await;
    expect(shop.place(&buyer, &"k".repeat(255), &order(cart)).await, 201);
}

#[tokio::test]
async fn a_body_that_is_not_json_too_large_or_too_deep_is_rejected() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let post = || {
        buyer
            .identify(Request::post("/v1/orders"))
            .header("idempotency-key", "key")
    };
    let send = async |content_type: &str, body: String| {
        let request = post().header("content-type", content_type);
        shop.send_request(request.body(Body::from(body)).unwrap()).await
    };
    send("text/plain", "{}".to_owned())
        .await
        .problem(415, "unsupported_media_type");
    send("application/json", "{".to_owned())
        .await
        .problem(400, "invalid_parameter");
    send("application/json", "[".repeat(10_000))
        .await
        .problem(400, "invalid_parameter");
    send("application/json", " ".repeat(70_000))
        .await
        .problem(413, "payload_too_large");
    let with_unknown_parameter = buyer
        .identify(Request::post("/v1/orders?fast=yes"))
        .header("idempotency-key", "key");
    shop.send_json(with_unknown_parameter, &order(Uuid::nil()))
        .await
        .problem(400, "invalid_parameter");
    assert_nothing_happened(&shop).await;
}

#[tokio::test]
async fn the_carts_of_others_are_not_found() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let (one, other) = (shop.customer().await, shop.customer().await);
    let cart = shop.cart(&one, &[("SKU-1-0", 1)]).await;
    let guest_cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    for (buyer, cart) in [
        (&other, cart),
        (&Buyer::Guest, cart),
        (&one, guest_cart),
        (&one, Uuid::now_v7()),
    ] {
        shop.buy(buyer, cart).await.problem(404, "not_found");
    }
    let anonymous = Request::post("/v1/orders").header("idempotency-key", "key");
    shop.send_json(anonymous, &order(guest_cart))
        .await
        .problem(404, "not_found");
    let forged = Request::post("/v1/orders")
        .header("idempotency-key", "key")
        .header("authorization", "Bearer forged");
    shop.send_json(forged, &order(cart))
        .await
        .problem(401, "unauthenticated");
    assert_nothing_happened(&shop).await;
}

#[tokio::test]
async fn an_email_is_required_of_guests_but_not_of_customers() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let without_email = |cart| {
        let mut body = order(cart);
        body.as_object_mut().unwrap().remove("email");
        body
    };
    let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    let problem = shop
        .place(&Buyer::Guest, "key", &without_email(cart))
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(problem["parameter"], "email");
    assert_nothing_happened(&shop).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let placed = expect(shop.place(&buyer, "key", &without_email(cart)).await, 201).json();
    let Buyer::Customer { id, .. } = buyer else {
        unreachable!()
    };
    assert_eq!(placed["email"], format!("{}@example.com", id.simple()));
}

#[tokio::test]
async fn a_cart_that_differs_from_what_the_customer_saw_is_not_ordered() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let empty = shop.cart(&buyer, &[]).await;
    shop.buy(&buyer, empty).await.problem(409, "cart_changed");

    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let expecting = |amount: i64, currency: &str| {
        with(
            order(cart),
            "expected_total",
            json!({ "amount": amount, "currency": currency }),
        )
    };
    for wrong in [expecting(9799, "EUR"), expecting(9799 + 495, "USD")] {
        shop.place(&buyer, "key", &wrong)
            .await
            .problem(409, "cart_changed");
    }

    // The product is inactive.
    let set_active = async |active: bool| {
        shop.database
            .execute(&format!(
                "update products set active = {active} where slug = 'product-1'"
            ))
            .await;
    };
    set_active(false).await;
    let problem = shop.buy(&buyer, cart).await.problem(409, "cart_changed");
    assert!(problem["detail"].as_str().unwrap().contains("SKU-1-0"));
    set_active(true).await;

    // The coupon has expired.
    shop.database
        .execute(&format!(
            "insert into coupons (code, amount_cents, valid_from, valid_until)
             values ('OLD', 100, now() - interval '2 days', now() - interval '1 day');
             update carts set coupon_code = 'OLD' where id = '{cart}'"
        ))
        .await;
    let problem = shop.buy(&buyer, cart).await.problem(409, "cart_changed");
    assert!(problem["detail"].as_str().unwrap().contains("OLD"));
    assert_nothing_happened(&shop).await;

    shop.database
        .execute(&format!(
            "update carts set coupon_code = null where id = '{cart}'"
        ))
        .await;
    expect(
        shop.place(&buyer, "key", &expecting(9799 + 495, "EUR")).await,
        201,
    );
}

#[tokio::test]
async fn an_order_has_one_currency() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    shop.set_stock("SKU-97-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1), ("SKU-97-0", 1)]).await;
    shop.buy(&buyer, cart).await.problem(409, "mixed_currencies");
    assert_nothing_happened(&shop).await;
}

#[tokio::test]
async fn a_coupon_below_its_minimum_discounts_nothing_and_is_not_used_up() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    shop.database
        .execute(&format!(
            "insert into coupons (code, percent, minimum_cents, valid_until)
             values ('BIG', 50, 10000, now() + interval '1 day');
             update carts set coupon_code = 'BIG' where id = '{cart}'"
        ))
        .await;
    let placed = expect(shop.buy(&buyer, cart).await, 201).json();
    assert_eq!(
        (&placed["totals"]["discount"]["amount"], &placed["coupon"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(shop.database.number("select uses from coupons").await, 0);
}
