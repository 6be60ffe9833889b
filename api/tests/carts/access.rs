//! Access control for carts, and the operations on an ordered cart.

use axum::http::Request;
use serde_json::json;

use super::Cart;
use crate::support::people::Person;
use crate::support::shop::TestShop;

/// Asserts that a cart doesn't exist for a client without its credential.
async fn assert_unknown(cart: &Cart<'_>) {
    let before = cart
        .shop
        .database
        .json("select jsonb_agg(i) from cart_items i")
        .await;
    cart.show().await.problem(404, "not_found");
    cart.put("SKU-1-0", 7).await.problem(404, "not_found");
    cart.put("SKU-1-0", 0).await.problem(404, "not_found");
    cart.put_coupon("TEN").await.problem(404, "not_found");
    cart.delete_coupon().await.problem(404, "not_found");
    let after = cart
        .shop
        .database
        .json("select jsonb_agg(i) from cart_items i")
        .await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn another_clients_cart_is_not_found() {
    let shop = TestShop::start().await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day')",
        )
        .await;
    let (ada, eve) = (Person::customer(&shop).await, Person::customer(&shop).await);
    let carts = [
        Cart::for_guest(&shop).await,
        Cart::for_guest(&shop).await,
        Cart::for_customer(&shop, &ada).await,
        Cart::for_customer(&shop, &eve).await,
    ];
    for cart in &carts {
        cart.put("SKU-1-0", 1).await.ok();
    }
    for (index, cart) in carts.iter().enumerate() {
        for (other_index, other) in carts.iter().enumerate() {
            let as_other = Cart {
                shop: &shop,
                id: cart.id.clone(),
                credential: other.credential.clone(),
            };
            if index == other_index {
                as_other.show().await.ok();
            } else {
                assert_unknown(&as_other).await;
            }
        }
        // Without credentials. Admins have no access to carts, either.
        shop.get(&cart.path("")).await.problem(404, "not_found");
        let admin = Person::admin(&shop).await;
        shop.send(admin.authorize(Request::get(cart.path(""))))
            .await
            .problem(404, "not_found");
    }
    // A customer who still holds a guest's token has access to both carts.
    let both = |cart: &Cart<'_>| {
        let request = Request::get(cart.path(""));
        carts[2].authorize(carts[0].authorize(request))
    };
    shop.send(both(&carts[0])).await.ok();
    shop.send(both(&carts[2])).await.ok();
    shop.send(both(&carts[1])).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_malformed_token_is_rejected() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    let (_, token) = &cart.credential;
    for wrong in ["", "x", &token[1..], &format!("{token}A")] {
        let request = Request::get(cart.path("")).header("x-cart-token", wrong);
        let problem = shop.send(request).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "x-cart-token");
    }
    let request = Request::get(cart.path("")).header("authorization", "Bearer nonsense");
    shop.send(cart.authorize(request))
        .await
        .problem(401, "unauthenticated");
    shop.send(Request::post("/v1/carts").header("authorization", "Bearer nonsense"))
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_database_contains_no_cart_tokens() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    let rows = shop
        .database
        .json("select jsonb_agg(c) from carts c")
        .await
        .to_string();
    assert!(rows.contains(&cart.id) && !rows.contains(&cart.credential.1));
}

#[tokio::test]
async fn an_ordered_cart_is_read_only() {
    let shop = TestShop::start().await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day')",
        )
        .await;
    let cart = Cart::for_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    let mut before = cart.show().await.ok().json();
    cart.mark_ordered().await;
    cart.put("SKU-1-0", 2).await.problem(409, "cart_ordered");
    cart.put("SKU-2-0", 1).await.problem(409, "cart_ordered");
    cart.put("SKU-1-0", 0).await.problem(409, "cart_ordered");
    cart.put_coupon("TEN").await.problem(409, "cart_ordered");
    cart.delete_coupon().await.problem(409, "cart_ordered");
    before["ordered"] = json!(true);
    assert_eq!(cart.show().await.ok().json(), before);
}

#[tokio::test]
async fn a_deleted_account_can_not_create_a_cart() {
    let shop = TestShop::start().await;
    let customer = Person::customer(&shop).await;
    shop.database.execute("delete from customers").await;
    shop.send(customer.authorize(Request::post("/v1/carts")))
        .await
        .problem(401, "unauthenticated");
}
