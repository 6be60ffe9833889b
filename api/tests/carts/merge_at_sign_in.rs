//! The merge of a guest's cart at sign-in, tested from outside.

use axum::http::Request;
use serde_json::{Value, json};

use super::Cart;
use crate::support::shop::TestShop;

const PASSWORD: &str = "correct horse battery";

async fn register(shop: &TestShop) {
    let account = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    let registered = shop.send_json(Request::post("/v1/accounts"), &account).await;
    assert_eq!(registered.status, 201, "{}", registered.text());
}

/// Signs in, optionally with a guest's cart. Returns the customer's credential and the id of the cart in the
/// response.
async fn sign_in(shop: &TestShop, guest_cart: Option<&Cart<'_>>) -> ((&'static str, String), Value) {
    let mut request = Request::post("/v1/sessions");
    if let Some(guest_cart) = guest_cart {
        request = guest_cart.authorize(request);
    }
    let credentials = json!({ "email": "ada@example.com", "password": PASSWORD });
    let signed_in = shop.send_json(request, &credentials).await;
    assert_eq!(signed_in.status, 201, "{}", signed_in.text());
    let signed_in = signed_in.json();
    let bearer = format!("Bearer {}", signed_in["access_token"].as_str().unwrap());
    (("authorization", bearer), signed_in["cart_id"].clone())
}

/// SKUs and quantities of a cart.
async fn items(cart: &Cart<'_>) -> Vec<(Value, Value)> {
    let items = cart.show().await.ok().items();
    items
        .into_iter()
        .map(|item| (item["sku"].clone(), item["quantity"].clone()))
        .collect()
}

#[tokio::test]
async fn it_is_merged_and_its_token_is_revoked() {
    let shop = TestShop::start().await;
    register(&shop).await;
    let guest_cart = Cart::for_guest(&shop).await;
    guest_cart.put("SKU-1-0", 1).await.ok();
    let (credential, cart) = sign_in(&shop, Some(&guest_cart)).await;
    assert_eq!(cart, json!(guest_cart.id), "it became the customer's first cart");
    guest_cart.show().await.problem(404, "not_found");
    guest_cart.put("SKU-1-0", 2).await.problem(404, "not_found");
    let customer_cart = Cart {
        shop: &shop,
        id: guest_cart.id,
        credential,
    };
    assert_eq!(items(&customer_cart).await, [(json!("SKU-1-0"), json!(1))]);

    let more = Cart::for_guest(&shop).await;
    more.put("SKU-2-0", 3).await.ok();
    more.put("SKU-1-0", 4).await.ok();
    let (_, cart) = sign_in(&shop, Some(&more)).await;
    assert_eq!(cart, json!(customer_cart.id));
    let merged = [(json!("SKU-1-0"), json!(5)), (json!("SKU-2-0"), json!(3))];
    assert_eq!(items(&customer_cart).await, merged);
    more.show().await.problem(404, "not_found");
}

#[tokio::test]
async fn a_cart_in_another_currency_is_not_merged() {
    let shop = TestShop::start().await;
    register(&shop).await;
    let (credential, _) = sign_in(&shop, None).await;
    let made = shop
        .send(Request::post("/v1/carts").header(credential.0, &credential.1))
        .await;
    let euros = Cart {
        shop: &shop,
        id: made.json()["id"].as_str().unwrap().to_owned(),
        credential: credential.clone(),
    };
    euros.put("SKU-1-0", 1).await.ok();
    let guest_cart = Cart::for_guest(&shop).await;
    guest_cart.put("SKU-97-0", 1).await.ok();
    let (_, cart) = sign_in(&shop, Some(&guest_cart)).await;
    assert_eq!(cart, json!(guest_cart.id));
    let dollars = Cart {
        credential,
        ..guest_cart
    };
    assert_eq!(items(&euros).await, [(json!("SKU-1-0"), json!(1))]);
    assert_eq!(items(&dollars).await, [(json!("SKU-97-0"), json!(1))]);
}
