//! Invalid requests to carts: the problem names the parameter, and nothing changes.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::Cart;
use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// All rows of carts.
async fn snapshot(shop: &TestShop) -> Value {
    shop.database
        .json("select jsonb_build_array((select jsonb_agg(c order by id) from carts c), (select jsonb_agg(i) from cart_items i))")
        .await
}

async fn send(cart: &Cart<'_>, request: axum::http::request::Builder, body: impl Into<Body>) -> TestResponse {
    let request = cart.authorize(request).header("content-type", "application/json");
    cart.shop.send_request(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_quantity_is_an_integer_up_to_a_thousand() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    let before = snapshot(&shop).await;
    for quantity in [
        json!(-1),
        json!(1001),
        json!(1.5),
        json!(1.0),
        json!("1"),
        json!(null),
        json!(true),
        json!([1]),
        json!(i64::MAX),
        json!(1e300),
    ] {
        let problem = cart
            .put("SKU-1-0", quantity)
            .await
            .problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "quantity");
        assert!(
            problem["detail"].as_str().unwrap().contains("from 0 to 1000"),
            "{problem}"
        );
    }
    assert_eq!(snapshot(&shop).await, before);
    cart.put("SKU-1-0", 1000).await.ok();
}

#[tokio::test]
async fn unknown_fields_and_parameters_are_rejected() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    let before = snapshot(&shop).await;
    let item = || Request::put(cart.path("/items/SKU-1-0"));
    for (body, parameter) in [
        (r#"{"quantity": 1, "price": 1}"#, "price"),
        (
            r#"{"quantity": 1, "unit_price": {"amount": 1, "currency": "EUR"}}"#,
            "unit_price",
        ),
        (r#"{"quantity": 1, "quantity": 2}"#, "body"),
        (r#"{}"#, "body"),
        (r#"[]"#, "body"),
        (r#"1"#, "body"),
        ("", "body"),
        (r#"{"quantity": 1"#, "body"),
        (r#"{"quantity": 1} {"quantity": 2}"#, "body"),
    ] {
        let problem = send(&cart, item(), body).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{body}");
    }
    let deep = format!(r#"{{"quantity": {}"#, "[".repeat(10_000));
    send(&cart, item(), deep).await.problem(400, "invalid_parameter");
    let large = format!(r#"{{"quantity": 1{}}}"#, " ".repeat(65_536));
    send(&cart, item(), large.clone())
        .await
        .problem(413, "payload_too_large");
    send(&cart, Request::post("/v1/carts"), large)
        .await
        .problem(413, "payload_too_large");
    let form = cart
        .authorize(item())
        .header("content-type", "application/x-www-form-urlencoded");
    let form = form.body(Body::from("quantity=1")).unwrap();
    let form = shop.send_request(form).await;
    form.problem(415, "unsupported_media_type");
    for (body, parameter) in [
        (r#"{"items": []}"#, "items"),
        (r#"{"totals": {"total": 0}}"#, "totals"),
        ("[]", "body"),
    ] {
        let problem = send(&cart, Request::post("/v1/carts"), body).await;
        assert_eq!(problem.problem(400, "invalid_parameter")["parameter"], parameter);
    }
    for (body, parameter) in [
        (r#"{"code": ""}"#, "code"),
        (r#"{"code": 7}"#, "code"),
        (r#"{"code": "TEN", "percent": 100}"#, "percent"),
        (r#"{"code": "a b"}"#, ""),
        (r#"{"code": "a\u0000b"}"#, "code"),
        (&format!(r#"{{"code": "{}"}}"#, "A".repeat(33)), "code"),
    ] {
        let response = send(&cart, Request::put(cart.path("/coupon")), body.to_owned()).await;
        match parameter {
            "" => response.problem(404, "not_found"),
            _ => response.problem(400, "invalid_parameter"),
        };
    }
    for request in [
        Request::get(cart.path("?verbose=true")),
        Request::delete(cart.path("/coupon?code=TEN")),
        Request::post("/v1/carts?currency=USD"),
    ] {
        shop.send(cart.authorize(request))
            .await
            .problem(400, "invalid_parameter");
    }
    assert_eq!(snapshot(&shop).await, before);
    // An empty object is valid as well.
    assert_eq!(send(&cart, Request::post("/v1/carts"), "{}").await.status, 201);
}

#[tokio::test]
async fn unknown_and_inactive_variants_can_not_be_added() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    let before = snapshot(&shop).await;
    for sku in ["SKU-0-0", "sku-1-0", "%00", "%FF", "a%2Fb", "'", &"x".repeat(300)] {
        cart.put(sku, 1).await.problem(404, "not_found");
        cart.put(sku, 0).await.problem(404, "not_found");
    }
    cart.put("SKU-11-0", 1).await.problem(409, "inactive");
    assert_eq!(snapshot(&shop).await, before);
    // A sold-out variant can be added, because it may come back.
    let cart = cart.put("SKU-5-0", 1).await.ok().json();
    assert_eq!(cart["items"][0]["problems"], json!(["insufficient_stock"]));
}

#[tokio::test]
async fn a_malformed_id_is_not_found() {
    let shop = TestShop::start().await;
    for id in [
        "1",
        "%00",
        "%FF",
        "null",
        "00000000-0000-0000-0000-000000000000",
        &"x".repeat(300),
    ] {
        let cart = Cart {
            shop: &shop,
            id: id.to_owned(),
            credential: Cart::for_guest(&shop).await.credential,
        };
        cart.show().await.problem(404, "not_found");
        cart.put("SKU-1-0", 1).await.problem(404, "not_found");
        cart.delete_coupon().await.problem(404, "not_found");
    }
}
