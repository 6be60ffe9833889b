//! Who may open a cart, and what an ordered one still does.

use axum::http::Request;
use serde_json::json;

use super::Cart;
use crate::support::people::Person;
use crate::support::shop::TestShop;

/// Everything that can be asked of a cart by whoever doesn't hold it.
async fn is_unknown(cart: &Cart<'_>) {
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
async fn a_cart_of_others_is_no_cart() {
    let shop = TestShop::start("optimized").await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day')",
        )
        .await;
    let (ada, eve) = (Person::customer(&shop).await, Person::customer(&shop).await);
    let carts = [
        Cart::of_guest(&shop).await,
        Cart::of_guest(&shop).await,
        Cart::of(&shop, &ada).await,
        Cart::of(&shop, &eve).await,
    ];
    for cart in &carts {
        cart.put("SKU-1-0", 1).await.ok();
    }
    for (index, cart) in carts.iter().enumerate() {
        for (other_index, other) in carts.iter().enumerate() {
            let as_other = Cart {
                shop: &shop,
                id: cart.id.clone(),
                opened_by: other.opened_by.clone(),
            };
            if index == other_index {
                as_other.show().await.ok();
            } else {
                is_unknown(&as_other).await;
            }
        }
        // Nobody in particular. An admin has no business in carts, either.
        shop.get(&cart.path("")).await.problem(404, "not_found");
        let admin = Person::admin(&shop).await;
        shop.send(admin.asks(Request::get(cart.path(""))))
            .await
            .problem(404, "not_found");
    }
    // A customer who still holds a guest's token opens both.
    let both = |cart: &Cart<'_>| {
        let request = Request::get(cart.path(""));
        carts[2].open(carts[0].open(request))
    };
    shop.send(both(&carts[0])).await.ok();
    shop.send(both(&carts[2])).await.ok();
    shop.send(both(&carts[1])).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_token_that_is_none_is_refused_as_such() {
    let shop = TestShop::start("optimized").await;
    let cart = Cart::of_guest(&shop).await;
    let (_, token) = &cart.opened_by;
    for wrong in ["", "x", &token[1..], &format!("{token}A")] {
        let request = Request::get(cart.path("")).header("x-cart-token", wrong);
        let problem = shop.send(request).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "x-cart-token");
    }
    let request = Request::get(cart.path("")).header("authorization", "Bearer nonsense");
    shop.send(cart.open(request))
        .await
        .problem(401, "unauthenticated");
    shop.send(Request::post("/v1/carts").header("authorization", "Bearer nonsense"))
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_database_holds_no_token() {
    let shop = TestShop::start("optimized").await;
    let cart = Cart::of_guest(&shop).await;
    let kept = shop
        .database
        .json("select jsonb_agg(c) from carts c")
        .await
        .to_string();
    assert!(kept.contains(&cart.id) && !kept.contains(&cart.opened_by.1));
}

#[tokio::test]
async fn a_cart_that_was_ordered_is_read_and_not_written() {
    let shop = TestShop::start("optimized").await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day')",
        )
        .await;
    let cart = Cart::of_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    let mut before = cart.show().await.ok().json();
    cart.order().await;
    cart.put("SKU-1-0", 2).await.problem(409, "cart_ordered");
    cart.put("SKU-2-0", 1).await.problem(409, "cart_ordered");
    cart.put("SKU-1-0", 0).await.problem(409, "cart_ordered");
    cart.put_coupon("TEN").await.problem(409, "cart_ordered");
    cart.delete_coupon().await.problem(409, "cart_ordered");
    before["ordered"] = json!(true);
    assert_eq!(cart.show().await.ok().json(), before);
}

#[tokio::test]
async fn an_account_that_is_gone_has_no_cart() {
    let shop = TestShop::start("optimized").await;
    let customer = Person::customer(&shop).await;
    shop.database.execute("delete from customers").await;
    shop.send(customer.asks(Request::post("/v1/carts")))
        .await
        .problem(401, "unauthenticated");
}
