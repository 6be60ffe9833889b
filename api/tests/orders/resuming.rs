//! An order that is gone on with: what it holds meanwhile, and what opens it when keys were rotated since.

use serde_json::{Value, json};

use super::shopping::{Buyer, Shop, expect, order};
use crate::support::database::execute;
use crate::support::gateway::Mood;
use crate::support::shop::{Changes, SECRETS, TestShop};
use crate::support::until;

/// A shop, and a guest's cart.
async fn shop_and_cart() -> (Shop, uuid::Uuid) {
    let changes = Changes::default().set("--payment-timeout-ms", 200);
    let shop = Shop::with("optimized".parse().unwrap(), changes).await;
    shop.set_stock("SKU-1-0", 5).await;
    let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    (shop, cart)
}

/// An order whose payment nobody knows of.
async fn pending(shop: &Shop, cart: uuid::Uuid) -> Value {
    shop.gateway.is(Mood::Broken);
    let pending = expect(shop.place(&Buyer::Guest, "key", &order(cart)).await, 202).json();
    shop.gateway.is(Mood::Well);
    pending
}

#[tokio::test]
async fn it_holds_what_it_has_reserved_as_long_as_a_new_one() {
    let (shop, cart) = shop_and_cart().await;
    pending(&shop, cart).await;
    // It is about to be given up.
    shop.database
        .execute("update orders set reserved_until = now() + interval '1 second'")
        .await;
    shop.gateway.is(Mood::Broken);
    expect(shop.place(&Buyer::Guest, "key", &order(cart)).await, 202);
    let held = "select extract(epoch from reserved_until - now())::int from orders";
    assert!((50..=60).contains(&shop.database.number(held).await));
}

#[tokio::test]
async fn it_locks_the_order_before_its_key_as_who_settles_it_does() {
    let (shop, cart) = shop_and_cart().await;
    pending(&shop, cart).await;
    let mut other = shop.database.connect().await;
    execute(&mut other, "begin; select from orders for update").await;
    let body = order(cart);
    let (resumed, ()) = tokio::join!(shop.place(&Buyer::Guest, "key", &body), async {
        until("the retry waits for the order", async || {
            let waiting = "select count(*) from pg_stat_activity
                           where datname = current_database() and wait_event_type = 'Lock'";
            (shop.database.number(waiting).await == 1).then_some(())
        })
        .await;
        execute(
            &mut other,
            "select from idempotency_keys for update nowait; commit",
        )
        .await;
    });
    assert_eq!(expect(resumed, 201).json()["status"], "paid");
}

/// Another process of the shop, with these secrets.
async fn with_secrets(shop: &Shop, secrets: &str) -> Shop {
    let changes = Changes::default()
        .set("--payment-url", &shop.gateway.url)
        .set("--jwt-secrets", secrets);
    let gateway = crate::support::gateway::Gateway::start().await;
    Shop {
        shop: TestShop::on(shop.database.clone(), shop.variants, changes).await,
        gateway,
    }
}

async fn assert_opens(shop: &Shop, order: &Value) {
    let get = axum::http::Request::get(format!("/v1/orders/{}", order["id"].as_str().unwrap()));
    let get = get.header("x-order-token", order["order_token"].as_str().unwrap());
    assert_eq!(shop.send(get).await.ok().json()["id"], order["id"]);
}

const NEW: &str = "new:fedcba9876543210fedcba9876543210";

#[tokio::test]
async fn a_guest_gets_the_token_that_opens_the_order_when_keys_were_rotated() {
    let (shop, cart) = shop_and_cart().await;
    let other = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    let first = expect(shop.place(&Buyer::Guest, "other", &order(other)).await, 201);
    let later = pending(&shop, cart).await;

    let rotated = with_secrets(&shop, &format!("{NEW},{SECRETS}")).await;
    let again = expect(rotated.place(&Buyer::Guest, "other", &order(other)).await, 201);
    assert_eq!(
        (&again.body, again.statements()),
        (&first.body, 1),
        "the same answer"
    );
    assert_opens(&rotated, &again.json()).await;
    let resumed = expect(rotated.place(&Buyer::Guest, "key", &order(cart)).await, 201).json();
    assert_eq!(resumed["order_token"], later["order_token"]);
    assert_opens(&rotated, &resumed).await;

    // Made with the new key.
    let cart = rotated.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    let made = expect(rotated.place(&Buyer::Guest, "new", &order(cart)).await, 201).json();
    assert_opens(&rotated, &made).await;
    assert_opens(&shop, &made).await;
    // Who has not the key yet can't make the token again, and tells none that opens nothing.
    let again = expect(shop.place(&Buyer::Guest, "new", &order(cart)).await, 201).json();
    assert_eq!(again["id"], made["id"]);
    assert_eq!(again.get("order_token"), None);
    assert_eq!(again["status"], json!("paid"));
}
