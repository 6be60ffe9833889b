//! The contents of a cart: its items, their prices and their stock.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Cart, eur};
use crate::support::people::Person;
use crate::support::shop::{Changes, TestShop};

/// The SKUs in the order of the cart.
fn skus(cart: &Value) -> Vec<&str> {
    let items = cart["items"].as_array().unwrap();
    items.iter().map(|item| item["sku"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn items_are_added_changed_and_removed() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    let empty = cart.show().await.ok().json();
    assert_eq!(empty["items"], json!([]));
    cart.put("SKU-1-1", 2).await.ok();
    let filled = cart.put("SKU-2-0", 1).await.ok();
    assert_eq!(filled.header("content-type"), Some("application/json"));
    let shown = cart.show().await.ok().json();
    assert_eq!(shown, filled.json(), "a write returns the same body as a read");
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("cart", shown, { ".id" => "[id]" });
        insta::assert_json_snapshot!("cart_empty", empty, { ".id" => "[id]" });
    });
    // The quantity is set, not added, and the item keeps its position.
    let changed = cart.put("SKU-1-1", 1).await.ok().json();
    assert_eq!(skus(&changed), ["SKU-1-1", "SKU-2-0"]);
    assert_eq!(changed["items"][0]["line_total"], eur(9949));
    let without = cart.put("SKU-1-1", 0).await.ok().json();
    assert_eq!(skus(&without), ["SKU-2-0"]);
    // Removing an absent item is a no-op.
    assert_eq!(cart.put("SKU-1-1", 0).await.ok().json(), without);
}

#[tokio::test]
async fn each_read_has_current_prices_and_stock() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    cart.put("SKU-1-1", 3).await.ok();
    let problems = async || {
        let cart = cart.show().await.ok().json();
        let items = cart["items"].as_array().unwrap().clone();
        let states = items
            .iter()
            .map(|item| (item["available_quantity"].clone(), item["problems"].clone()));
        (states.collect::<Vec<_>>(), cart["totals"]["subtotal"].clone())
    };
    let short = json!(["insufficient_stock"]);
    let (states, subtotal) = problems().await;
    assert_eq!(states, [(json!(1), json!([])), (json!(2), short.clone())]);
    assert_eq!(subtotal, eur(9799 + 3 * 9949));

    shop.database
        .execute(
            "update variants set price_cents = 100, stock_quantity = 3 where sku in ('SKU-1-0', 'SKU-1-1')",
        )
        .await;
    let (states, subtotal) = problems().await;
    assert_eq!(states, [(json!(3), json!([])), (json!(3), json!([]))]);
    assert_eq!(subtotal, eur(400));

    shop.database
        .execute("update products set active = false where slug = 'product-1'")
        .await;
    let (states, subtotal) = problems().await;
    assert_eq!(
        states,
        [(json!(0), json!(["inactive"])), (json!(0), json!(["inactive"]))]
    );
    assert_eq!(subtotal, eur(0), "unavailable items cost nothing");
    // It can only be removed.
    cart.put("SKU-1-1", 1).await.problem(409, "inactive");
    assert_eq!(skus(&cart.put("SKU-1-1", 0).await.ok().json()), ["SKU-1-0"]);

    cart.put("SKU-2-0", 1).await.ok();
    shop.database
        .execute("update products set currency = 'USD' where slug = 'product-2'")
        .await;
    let other = cart.show().await.ok().json();
    assert_eq!(other["items"][1]["problems"], json!(["other_currency"]));
    assert_eq!(other["totals"]["subtotal"], eur(0));
}

#[tokio::test]
async fn a_cart_has_one_currency() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    cart.put("SKU-1-0", 1).await.ok();
    let problem = cart.put("SKU-97-0", 1).await.problem(409, "currency_differs");
    assert!(problem["detail"].as_str().unwrap().contains("USD"));
    // Once the cart is empty, the next item sets its currency.
    cart.put("SKU-1-0", 0).await.ok();
    let dollars = cart.put("SKU-97-0", 1).await.ok().json();
    assert_eq!(dollars["totals"]["total"]["currency"], "USD");
    cart.put("SKU-97-0", 2).await.ok();
    cart.put("SKU-1-0", 1).await.problem(409, "currency_differs");
}

async fn fill(cart: &Cart<'_>, lines: u32) {
    cart.shop
        .database
        .execute(&format!(
            "insert into cart_items (cart_id, variant_id, quantity)
             select '{}', v.id, 1 from variants v join products p on p.id = v.product_id
             where p.active and p.currency = 'EUR' and sku not in ('SKU-1-0', 'SKU-2-0')
             order by sku limit {lines}",
            cart.id
        ))
        .await;
}

#[tokio::test]
async fn a_cart_holds_at_most_a_hundred_lines() {
    let shop = TestShop::start().await;
    let cart = Cart::for_guest(&shop).await;
    fill(&cart, 99).await;
    cart.put("SKU-1-0", 1).await.ok();
    cart.put("SKU-2-0", 1).await.problem(409, "cart_full");
    // An existing line can still be changed.
    cart.put("SKU-1-0", 1000).await.ok();
    let full = cart.show().await.ok();
    assert_eq!((full.items().len(), full.statements()), (100, 1));
    cart.put("SKU-1-0", 0).await.ok();
    cart.put("SKU-2-0", 1).await.ok();
}

/// Without a lock, both writes of a pair would pass their checks before either is written.
#[tokio::test]
async fn concurrent_writes_violate_no_limit() {
    let changes = Changes::default().set("--database-connections", 8);
    let shop = TestShop::start_with(changes).await;
    for _ in 0..20 {
        let cart = Cart::for_guest(&shop).await;
        fill(&cart, 99).await;
        let (one, other) = tokio::join!(cart.put("SKU-1-0", 1), cart.put("SKU-2-0", 1));
        let statuses = BTreeSet::from([one.status.as_u16(), other.status.as_u16()]);
        assert_eq!(
            statuses,
            BTreeSet::from([200, 409]),
            "{} {}",
            one.text(),
            other.text()
        );
        assert_eq!(cart.show().await.ok().items().len(), 100);

        let cart = Cart::for_guest(&shop).await;
        let (euros, dollars) = tokio::join!(cart.put("SKU-1-0", 1), cart.put("SKU-97-0", 1));
        let statuses = BTreeSet::from([euros.status.as_u16(), dollars.status.as_u16()]);
        assert_eq!(
            statuses,
            BTreeSet::from([200, 409]),
            "{} {}",
            euros.text(),
            dollars.text()
        );

        // Without a conflict, all writes succeed.
        let cart = Cart::for_guest(&shop).await;
        let skus = ["SKU-1-0", "SKU-1-1", "SKU-2-0", "SKU-2-1"];
        let (a, b, c, d) = tokio::join!(
            cart.put(skus[0], 1),
            cart.put(skus[1], 1),
            cart.put(skus[2], 1),
            cart.put(skus[3], 1)
        );
        for response in [a, b, c, d] {
            response.ok();
        }
        assert_eq!(cart.show().await.ok().items().len(), 4);
    }
}

#[tokio::test]
async fn each_operation_takes_a_fixed_number_of_statements() {
    let shop = TestShop::start().await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day')",
        )
        .await;
    let customer = Person::customer(&shop).await;
    let made = shop
        .send(customer.authorize(axum::http::Request::post("/v1/carts")))
        .await;
    assert_eq!(made.statements(), 1);
    for cart in [
        Cart::for_guest(&shop).await,
        Cart::for_customer(&shop, &customer).await,
    ] {
        assert_eq!(cart.show().await.ok().statements(), 1);
        for sku in ["SKU-1-0", "SKU-1-1", "SKU-2-0"] {
            assert_eq!(cart.put(sku, 1).await.ok().statements(), 2);
        }
        assert_eq!(cart.put_coupon("TEN").await.ok().statements(), 2);
        assert_eq!(cart.show().await.ok().statements(), 1);
        assert_eq!(cart.delete_coupon().await.ok().statements(), 2);
        assert_eq!(cart.put("SKU-1-0", 0).await.ok().statements(), 2);
        // A rejected write doesn't read the cart again.
        assert_eq!(cart.put("SKU-11-0", 1).await.statements(), 1);
    }
}

/// The schema declares exactly the fields of a cart.
#[tokio::test]
async fn the_schema_of_a_cart_matches_the_response() {
    let shop = TestShop::start().await;
    let document = shop.get("/openapi.json").await.ok().json();
    let names = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let of_schema = |name: &str| names(&document["components"]["schemas"][name]["properties"]);
    let made = shop.send(axum::http::Request::post("/v1/carts")).await.json();
    assert_eq!(names(&made), of_schema("Cart"));
    assert_eq!(names(&made["totals"]), of_schema("CartTotals"));
    let cart = Cart::for_guest(&shop).await;
    let filled = cart.put("SKU-1-0", 1).await.ok().json();
    assert_eq!(names(&filled["items"][0]), of_schema("CartItem"));
}
