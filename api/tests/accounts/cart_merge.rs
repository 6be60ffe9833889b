//! The merge of a guest's cart into the customer's at sign-in.

use axum::http::Request;
use serde_json::{Value, json};

use super::people::{PASSWORD, Person};
use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// base64url of 32 bytes, all the same.
const TOKEN: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
const TOKEN_HASH: &str = "sha256(decode(repeat('01', 32), 'hex'))";
const GUEST_CART: &str = "01000000-0000-7000-8000-000000000001";
const OWN_CART: &str = "02000000-0000-7000-8000-000000000002";

async fn add_guest_cart(shop: &TestShop, items: &[(usize, u32)]) {
    shop.database
        .execute(&format!(
            "insert into carts (id, token_hash) values ('{GUEST_CART}', {TOKEN_HASH})"
        ))
        .await;
    add_items(shop, GUEST_CART, items).await;
}

async fn add_own_cart(shop: &TestShop, items: &[(usize, u32)]) {
    shop.database
        .execute(&format!(
            "insert into carts (id, customer_id) select '{OWN_CART}', id from customers"
        ))
        .await;
    add_items(shop, OWN_CART, items).await;
}

/// Adds quantities of variants, given by their position in the order of SKUs.
async fn add_items(shop: &TestShop, cart: &str, items: &[(usize, u32)]) {
    for (position, quantity) in items {
        shop.database
            .execute(&format!(
                "insert into cart_items (cart_id, variant_id, quantity)
                 select '{cart}', id, {quantity} from variants order by sku offset {position} limit 1"
            ))
            .await;
    }
}

async fn sign_in(shop: &TestShop, token: &str) -> TestResponse {
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
async fn it_is_assigned_to_a_customer_without_a_cart() {
    let shop = TestShop::start().await;
    Person::new(&shop, "ada").await;
    add_guest_cart(&shop, &[(0, 2)]).await;
    let response = sign_in(&shop, TOKEN).await;
    assert_eq!(response.json()["cart_id"], GUEST_CART, "{}", response.text());
    assert_eq!(quantities(&shop, GUEST_CART).await, json!([2]));
    assert_eq!(
        shop.database
            .number("select count(*) from carts where customer_id is not null and token_hash is null")
            .await,
        1
    );
    // Its token is no longer valid.
    let again = sign_in(&shop, TOKEN).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["cart_id"]),
        (201, &Value::Null)
    );
}

#[tokio::test]
async fn its_items_are_merged_up_to_the_maximum_quantity_of_each() {
    let shop = TestShop::start().await;
    Person::new(&shop, "ada").await;
    add_own_cart(&shop, &[(0, 1), (1, 999)]).await;
    add_guest_cart(&shop, &[(1, 2), (2, 3)]).await;
    assert_eq!(sign_in(&shop, TOKEN).await.json()["cart_id"], OWN_CART);
    assert_eq!(quantities(&shop, OWN_CART).await, json!([1, 1000, 3]));
    assert_eq!(shop.database.number("select count(*) from carts").await, 1);
}

#[tokio::test]
async fn its_coupon_is_kept_if_the_customers_cart_has_none() {
    let shop = TestShop::start().await;
    Person::new(&shop, "ada").await;
    add_own_cart(&shop, &[]).await;
    add_guest_cart(&shop, &[]).await;
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
async fn an_ordered_cart_is_neither_assigned_nor_merged_into() {
    let shop = TestShop::start().await;
    Person::new(&shop, "ada").await;
    add_own_cart(&shop, &[(0, 1)]).await;
    add_guest_cart(&shop, &[(1, 2)]).await;
    let buy = async |cart: &str| {
        shop.database
            .execute(&format!(
                "insert into orders (id, cart_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency,
                                     shipping_method, email, shipping_address)
                 values (gen_random_uuid(), '{cart}', now(), 0, 0, 0, 'EUR', 'standard', 'a@b.c', '{{}}')"
            ))
            .await;
    };
    buy(OWN_CART).await;
    assert_eq!(sign_in(&shop, TOKEN).await.json()["cart_id"], GUEST_CART);
    assert_eq!(quantities(&shop, OWN_CART).await, json!([1]));
    assert_eq!(quantities(&shop, GUEST_CART).await, json!([2]));

    let shop = TestShop::start().await;
    Person::new(&shop, "ada").await;
    add_own_cart(&shop, &[(0, 1)]).await;
    add_guest_cart(&shop, &[(1, 2)]).await;
    shop.database
        .execute(&format!(
            "insert into orders (id, cart_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency,
                                 shipping_method, email, shipping_address)
             values (gen_random_uuid(), '{GUEST_CART}', now(), 0, 0, 0, 'EUR', 'standard', 'a@b.c', '{{}}')"
        ))
        .await;
    assert_eq!(sign_in(&shop, TOKEN).await.json()["cart_id"], Value::Null);
    assert_eq!(quantities(&shop, OWN_CART).await, json!([1]));
}

#[tokio::test]
async fn a_merged_cart_does_not_exceed_the_maximum_of_lines() {
    let shop = TestShop::start().await;
    Person::new(&shop, "ada").await;
    add_own_cart(&shop, &[]).await;
    add_guest_cart(&shop, &[]).await;
    for (cart, from, lines) in [(OWN_CART, 0, 90), (GUEST_CART, 80, 40)] {
        shop.database
            .execute(&format!(
                "insert into cart_items (cart_id, variant_id, quantity)
                 select '{cart}', id, 1 from variants order by sku offset {from} limit {lines}"
            ))
            .await;
    }
    sign_in(&shop, TOKEN).await;
    let merged = quantities(&shop, OWN_CART).await;
    let merged: Vec<i64> = merged
        .as_array()
        .unwrap()
        .iter()
        .map(|quantity| quantity.as_i64().unwrap())
        .collect();
    assert_eq!(merged.len(), 100);
    // The ten lines that were in both carts.
    assert_eq!(merged.iter().filter(|quantity| **quantity == 2).count(), 10);
}

#[tokio::test]
async fn an_unknown_cart_token_is_ignored_and_a_malformed_one_is_rejected() {
    let shop = TestShop::start().await;
    Person::new(&shop, "ada").await;
    assert_eq!(sign_in(&shop, TOKEN).await.status, 201);
    let response = sign_in(&shop, "not-a-token").await;
    assert_eq!(
        response.problem(400, "invalid_parameter")["parameter"],
        "x-cart-token"
    );
}
