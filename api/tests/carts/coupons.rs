//! Coupons on carts: when they apply, and how much they discount.

use serde_json::{Value, json};

use super::{Cart, eur};
use crate::support::shop::TestShop;

/// Inserts a coupon that is valid except for the given columns.
async fn coupon(shop: &TestShop, code: &str, columns: &str, values: &str) {
    shop.database
        .execute(&format!(
            "insert into coupons (code, valid_until, {columns}) values ('{code}', now() + interval '1 day', {values})"
        ))
        .await;
}

fn totals(cart: &Value) -> [&Value; 3] {
    ["subtotal", "discount", "total"].map(|part| &cart["totals"][part])
}

#[tokio::test]
async fn a_coupon_discounts_a_percentage_or_an_amount() {
    let shop = TestShop::start().await;
    coupon(&shop, "HALF", "percent", "50").await;
    coupon(&shop, "FIVE", "amount_cents", "500").await;
    coupon(&shop, "ALL", "amount_cents", "100000").await;
    let cart = Cart::for_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    // 4899.5 is rounded half up.
    for (code, discount) in [("HALF", 4900), ("five", 500), (" ALL ", 9799)] {
        let with = cart.put_coupon(code).await.ok().json();
        assert_eq!(
            with["coupon"],
            json!({ "code": code.trim().to_uppercase(), "problem": null })
        );
        assert_eq!(totals(&with), [&eur(9799), &eur(discount), &eur(9799 - discount)]);
        assert_eq!(cart.show().await.ok().json(), with);
    }
    // Like all prices, the discount is computed on each request.
    cart.put("SKU-1-0", 2).await.ok();
    cart.put_coupon("HALF").await.ok();
    let more = cart.put("SKU-1-1", 1).await.ok().json();
    assert_eq!(totals(&more), [&eur(29_547), &eur(14_774), &eur(14_773)]);
    let without = cart.delete_coupon().await.ok().json();
    assert_eq!(without["coupon"], Value::Null);
    assert_eq!(totals(&without), [&eur(29_547), &eur(0), &eur(29_547)]);
    assert_eq!(cart.delete_coupon().await.ok().json(), without);
    assert_eq!(
        shop.database.number("select sum(uses) from coupons").await,
        0,
        "only orders use coupons up"
    );
}

#[tokio::test]
async fn a_coupon_whose_conditions_are_not_met_is_rejected_with_the_reason() {
    let shop = TestShop::start().await;
    coupon(&shop, "GOOD", "percent", "10").await;
    coupon(
        &shop,
        "EARLY",
        "percent, valid_from",
        "10, now() + interval '1 hour'",
    )
    .await;
    coupon(&shop, "TAKEN", "percent, max_uses, uses", "10, 3, 3").await;
    coupon(&shop, "LARGE", "percent, minimum_cents", "10, 9800").await;
    coupon(&shop, "DOLLARS", "percent, currency", "10, 'USD'").await;
    coupon(&shop, "LATE", "percent", "10").await;
    shop.database
        .execute("update coupons set valid_from = now() - interval '2 days', valid_until = now() where code = 'LATE'")
        .await;
    let cart = Cart::for_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    let with = cart.put_coupon("GOOD").await.ok().json();
    cart.put_coupon("NONE").await.problem(404, "not_found");
    for (code, problem) in [
        ("EARLY", "coupon_not_yet_valid"),
        ("LATE", "coupon_expired"),
        ("TAKEN", "coupon_used_up"),
        ("LARGE", "coupon_below_minimum"),
        ("DOLLARS", "coupon_other_currency"),
    ] {
        cart.put_coupon(code).await.problem(409, problem);
    }
    assert_eq!(cart.show().await.ok().json(), with, "the valid coupon stays");
    let problem = cart
        .put_coupon("LARGE")
        .await
        .problem(409, "coupon_below_minimum");
    assert!(
        problem["detail"].as_str().unwrap().contains("98.00 EUR"),
        "{problem}"
    );
    cart.put("SKU-1-0", 2).await.ok();
    cart.put_coupon("LARGE").await.ok();
}

#[tokio::test]
async fn a_coupon_that_becomes_invalid_is_shown_with_the_reason() {
    let shop = TestShop::start().await;
    coupon(&shop, "TEN", "percent, minimum_cents, max_uses", "10, 9800, 1").await;
    let cart = Cart::for_guest(&shop).await;
    cart.put("SKU-1-0", 2).await.ok();
    cart.put_coupon("TEN").await.ok();
    let smaller = cart.put("SKU-1-0", 1).await.ok().json();
    assert_eq!(
        smaller["coupon"],
        json!({ "code": "TEN", "problem": "coupon_below_minimum" })
    );
    assert_eq!(totals(&smaller), [&eur(9799), &eur(0), &eur(9799)]);
    let larger = cart.put("SKU-1-0", 2).await.ok().json();
    assert_eq!(larger["coupon"]["problem"], Value::Null);
    shop.database.execute("update coupons set uses = 1").await;
    assert_eq!(
        cart.show().await.ok().json()["coupon"]["problem"],
        "coupon_used_up"
    );
    shop.database
        .execute("update coupons set uses = 0, valid_until = now()")
        .await;
    let expired = cart.show().await.ok().json();
    assert_eq!(expired["coupon"]["problem"], "coupon_expired");
    assert_eq!(expired["totals"]["discount"], eur(0));
}
