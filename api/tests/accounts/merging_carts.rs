//! A guest's cart at sign-in.

use axum::http::Request;
use serde_json::{Value, json};

use super::people::{PASSWORD, Person};
use crate::support::answer::Answer;
use crate::support::shop::TestShop;

/// base64url of 32 bytes, all the same.
const TOKEN: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
const TOKEN_HASH: &str = "sha256(decode(repeat('01', 32), 'hex'))";
const GUESTS: &str = "01000000-0000-7000-8000-000000000001";
const OWN: &str = "02000000-0000-7000-8000-000000000002";

async fn with_guests_cart(shop: &TestShop, items: &[(usize, u32)]) {
    shop.database
        .execute(&format!(
            "insert into carts (id, token_hash) values ('{GUESTS}', {TOKEN_HASH})"
        ))
        .await;
    put(shop, GUESTS, items).await;
}

async fn with_own_cart(shop: &TestShop, items: &[(usize, u32)]) {
    shop.database
        .execute(&format!(
            "insert into carts (id, customer_id) select '{OWN}', id from customers"
        ))
        .await;
    put(shop, OWN, items).await;
}

/// So many of the variant at a place, by SKU.
async fn put(shop: &TestShop, cart: &str, items: &[(usize, u32)]) {
    for (place, quantity) in items {
        shop.database
            .execute(&format!(
                "insert into cart_items (cart_id, variant_id, quantity)
                 select '{cart}', id, {quantity} from variants order by sku offset {place} limit 1"
            ))
            .await;
    }
}

async fn sign_in(shop: &TestShop, token: &str) -> Answer {
    let request = Request::post("/v1/sessions").header("x-cart-token", token);
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    shop.send_json(request, &body).await
}

/// Quantities of a cart, by SKU.
async fn quantities(shop: &TestShop, cart: &str) -> Value {
    shop.database
        .json(&format!(
            "select coalesce(jsonb_agg(i.quantity order by v.sku), '[]')
             from cart_items i join variants v on v.id = i.variant_id where i.cart_id = '{cart}'"
        ))
        .await
}

#[tokio::test]
async fn it_becomes_the_customers_who_has_none() {
    let shop = TestShop::start("optimized").await;
    Person::new(&shop, "ada").await;
    with_guests_cart(&shop, &[(0, 2)]).await;
    let answer = sign_in(&shop, TOKEN).await;
    assert_eq!(answer.json()["cart_id"], GUESTS, "{}", answer.text());
    assert_eq!(quantities(&shop, GUESTS).await, json!([2]));
    assert_eq!(
        shop.database
            .number("select count(*) from carts where customer_id is not null and token_hash is null")
            .await,
        1
    );
    // Its token opens nothing any more.
    let again = sign_in(&shop, TOKEN).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["cart_id"]),
        (201, &Value::Null)
    );
}

#[tokio::test]
async fn its_items_are_added_to_the_customers_up_to_the_most_of_each() {
    let shop = TestShop::start("optimized").await;
    Person::new(&shop, "ada").await;
    with_own_cart(&shop, &[(0, 1), (1, 999)]).await;
    with_guests_cart(&shop, &[(1, 2), (2, 3)]).await;
    assert_eq!(sign_in(&shop, TOKEN).await.json()["cart_id"], OWN);
    assert_eq!(quantities(&shop, OWN).await, json!([1, 1000, 3]));
    assert_eq!(shop.database.number("select count(*) from carts").await, 1);
}

#[tokio::test]
async fn a_coupon_comes_along_where_there_is_none() {
    let shop = TestShop::start("optimized").await;
    Person::new(&shop, "ada").await;
    with_own_cart(&shop, &[]).await;
    with_guests_cart(&shop, &[]).await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day');
             update carts set coupon_code = 'TEN' where token_hash is not null",
        )
        .await;
    sign_in(&shop, TOKEN).await;
    assert_eq!(shop.database.json("select coupon_code from carts").await, "TEN");
}

#[tokio::test]
async fn a_cart_that_was_bought_is_neither_taken_nor_added_to() {
    let shop = TestShop::start("optimized").await;
    Person::new(&shop, "ada").await;
    with_own_cart(&shop, &[(0, 1)]).await;
    with_guests_cart(&shop, &[(1, 2)]).await;
    let buy = async |cart: &str| {
        shop.database
            .execute(&format!(
                "insert into orders (id, cart_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency,
                                     shipping_method, email, shipping_address)
                 values (gen_random_uuid(), '{cart}', now(), 0, 0, 0, 'EUR', 'standard', 'a@b.c', '{{}}')"
            ))
            .await;
    };
    buy(OWN).await;
    assert_eq!(sign_in(&shop, TOKEN).await.json()["cart_id"], GUESTS);
    assert_eq!(quantities(&shop, OWN).await, json!([1]));
    assert_eq!(quantities(&shop, GUESTS).await, json!([2]));

    let shop = TestShop::start("optimized").await;
    Person::new(&shop, "ada").await;
    with_own_cart(&shop, &[(0, 1)]).await;
    with_guests_cart(&shop, &[(1, 2)]).await;
    shop.database
        .execute(&format!(
            "insert into orders (id, cart_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency,
                                 shipping_method, email, shipping_address)
             values (gen_random_uuid(), '{GUESTS}', now(), 0, 0, 0, 'EUR', 'standard', 'a@b.c', '{{}}')"
        ))
        .await;
    assert_eq!(sign_in(&shop, TOKEN).await.json()["cart_id"], Value::Null);
    assert_eq!(quantities(&shop, OWN).await, json!([1]));
}

#[tokio::test]
async fn a_cart_never_holds_more_lines_than_it_may() {
    let shop = TestShop::start("optimized").await;
    Person::new(&shop, "ada").await;
    with_own_cart(&shop, &[]).await;
    with_guests_cart(&shop, &[]).await;
    for (cart, from, lines) in [(OWN, 0, 90), (GUESTS, 80, 40)] {
        shop.database
            .execute(&format!(
                "insert into cart_items (cart_id, variant_id, quantity)
                 select '{cart}', id, 1 from variants order by sku offset {from} limit {lines}"
            ))
            .await;
    }
    sign_in(&shop, TOKEN).await;
    let kept = quantities(&shop, OWN).await;
    let kept: Vec<i64> = kept
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| kept.as_i64().unwrap())
        .collect();
    assert_eq!(kept.len(), 100);
    // The ten that were in both.
    assert_eq!(kept.iter().filter(|kept| **kept == 2).count(), 10);
}

#[tokio::test]
async fn a_token_that_opens_nothing_hinders_nobody_and_one_that_is_none_is_named() {
    let shop = TestShop::start("optimized").await;
    Person::new(&shop, "ada").await;
    assert_eq!(sign_in(&shop, TOKEN).await.status, 201);
    let refused = sign_in(&shop, "not-a-token").await;
    assert_eq!(
        refused.problem(400, "invalid_parameter")["parameter"],
        "x-cart-token"
    );
}
