//! What a cart refuses, by name, and without a change.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::Cart;
use crate::support::answer::Answer;
use crate::support::shop::TestShop;

/// All that carts are made of.
async fn everything(shop: &TestShop) -> Value {
    shop.database
        .json("select jsonb_build_array((select jsonb_agg(c order by id) from carts c), (select jsonb_agg(i) from cart_items i))")
        .await
}

async fn send(cart: &Cart<'_>, request: axum::http::request::Builder, body: impl Into<Body>) -> Answer {
    let request = cart.open(request).header("content-type", "application/json");
    cart.shop.answer(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_quantity_is_a_whole_number_up_to_a_thousand() {
    let shop = TestShop::start("optimized").await;
    let cart = Cart::of_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    let before = everything(&shop).await;
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
    assert_eq!(everything(&shop).await, before);
    cart.put("SKU-1-0", 1000).await.ok();
}

#[tokio::test]
async fn only_what_is_known_can_be_said() {
    let shop = TestShop::start("optimized").await;
    let cart = Cart::of_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    let before = everything(&shop).await;
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
        .open(item())
        .header("content-type", "application/x-www-form-urlencoded");
    let form = form.body(Body::from("quantity=1")).unwrap();
    shop.answer(form).await.problem(415, "unsupported_media_type");
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
        let answer = send(&cart, Request::put(cart.path("/coupon")), body.to_owned()).await;
        match parameter {
            "" => answer.problem(404, "not_found"),
            _ => answer.problem(400, "invalid_parameter"),
        };
    }
    for request in [
        Request::get(cart.path("?verbose=true")),
        Request::delete(cart.path("/coupon?code=TEN")),
        Request::post("/v1/carts?currency=USD"),
    ] {
        shop.send(cart.open(request))
            .await
            .problem(400, "invalid_parameter");
    }
    assert_eq!(everything(&shop).await, before);
    // An empty object says nothing, too.
    assert_eq!(send(&cart, Request::post("/v1/carts"), "{}").await.status, 201);
}

#[tokio::test]
async fn what_is_not_sold_does_not_go_in() {
    let shop = TestShop::start("optimized").await;
    let cart = Cart::of_guest(&shop).await;
    let before = everything(&shop).await;
    for sku in ["SKU-0-0", "sku-1-0", "%00", "%FF", "a%2Fb", "'", &"x".repeat(300)] {
        cart.put(sku, 1).await.problem(404, "not_found");
        cart.put(sku, 0).await.problem(404, "not_found");
    }
    cart.put("SKU-11-0", 1).await.problem(409, "inactive");
    assert_eq!(everything(&shop).await, before);
    // Sold out is no refusal: it may come back.
    let cart = cart.put("SKU-5-0", 1).await.ok().json();
    assert_eq!(cart["items"][0]["problems"], json!(["insufficient_stock"]));
}

#[tokio::test]
async fn what_is_no_id_is_no_cart() {
    let shop = TestShop::start("optimized").await;
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
            opened_by: Cart::of_guest(&shop).await.opened_by,
        };
        cart.show().await.problem(404, "not_found");
        cart.put("SKU-1-0", 1).await.problem(404, "not_found");
        cart.delete_coupon().await.problem(404, "not_found");
    }
}
