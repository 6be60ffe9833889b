//! What becomes of a guest's cart when the guest turns out to be a customer, seen from outside.

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

/// Signs in, with a guest's cart or without, and returns what opens the customer's carts, and the cart that was named.
async fn sign_in(shop: &TestShop, guests: Option<&Cart<'_>>) -> ((&'static str, String), Value) {
    let mut request = Request::post("/v1/sessions");
    if let Some(guests) = guests {
        request = guests.open(request);
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
async fn it_goes_into_the_customers_cart_and_its_token_opens_nothing() {
    let shop = TestShop::start("optimized").await;
    register(&shop).await;
    let guests = Cart::of_guest(&shop).await;
    guests.put("SKU-1-0", 1).await.ok();
    let (opened_by, cart) = sign_in(&shop, Some(&guests)).await;
    assert_eq!(cart, json!(guests.id), "it became the customer's first");
    guests.show().await.problem(404, "not_found");
    guests.put("SKU-1-0", 2).await.problem(404, "not_found");
    let own = Cart {
        shop: &shop,
        id: guests.id,
        opened_by,
    };
    assert_eq!(items(&own).await, [(json!("SKU-1-0"), json!(1))]);

    let more = Cart::of_guest(&shop).await;
    more.put("SKU-2-0", 3).await.ok();
    more.put("SKU-1-0", 4).await.ok();
    let (_, cart) = sign_in(&shop, Some(&more)).await;
    assert_eq!(cart, json!(own.id));
    let together = [(json!("SKU-1-0"), json!(5)), (json!("SKU-2-0"), json!(3))];
    assert_eq!(items(&own).await, together);
    more.show().await.problem(404, "not_found");
}

#[tokio::test]
async fn one_in_another_currency_stays_a_cart_of_its_own() {
    let shop = TestShop::start("optimized").await;
    register(&shop).await;
    let (opened_by, _) = sign_in(&shop, None).await;
    let made = shop
        .send(Request::post("/v1/carts").header(opened_by.0, &opened_by.1))
        .await;
    let euros = Cart {
        shop: &shop,
        id: made.json()["id"].as_str().unwrap().to_owned(),
        opened_by: opened_by.clone(),
    };
    euros.put("SKU-1-0", 1).await.ok();
    let guests = Cart::of_guest(&shop).await;
    guests.put("SKU-97-0", 1).await.ok();
    let (_, cart) = sign_in(&shop, Some(&guests)).await;
    assert_eq!(cart, json!(guests.id));
    let dollars = Cart { opened_by, ..guests };
    assert_eq!(items(&euros).await, [(json!("SKU-1-0"), json!(1))]);
    assert_eq!(items(&dollars).await, [(json!("SKU-97-0"), json!(1))]);
}
