//! Resuming an order: its reservation, its lock order, and its token after a key rotation.

use serde_json::{Value, json};

use super::shop::{Buyer, Shop, expect, order};
use crate::support::database::execute;
use crate::support::gateway::FaultMode;
use crate::support::shop::{Changes, SECRETS, TestShop};

/// A shop and a guest's cart.
async fn shop_and_cart() -> (Shop, uuid::Uuid) {
    let changes = Changes::default().set("--payment-timeout-ms", 200);
    let shop = Shop::with(changes).await;
    shop.set_stock("SKU-1-0", 5).await;
    let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    (shop, cart)
}

/// An order whose payment has an unknown outcome.
async fn pending(shop: &Shop, cart: uuid::Uuid) -> Value {
    shop.gateway.inject(FaultMode::Broken);
    let pending = expect(shop.place(&Buyer::Guest, "key", &order(cart)).await, 202).json();
    shop.gateway.inject(FaultMode::Healthy);
    pending
}

#[tokio::test]
async fn resuming_extends_the_reservation() {
    let (shop, cart) = shop_and_cart().await;
    pending(&shop, cart).await;
    // The reservation is about to expire.
    shop.database
        .execute("update orders set reserved_until = now() + interval '1 second'")
        .await;
    shop.gateway.inject(FaultMode::Broken);
    expect(shop.place(&Buyer::Guest, "key", &order(cart)).await, 202);
    let remaining = "select extract(epoch from reserved_until - now())::int from orders";
    assert!((50..=60).contains(&shop.database.number(remaining).await));
}

#[tokio::test]
async fn resuming_locks_the_order_before_its_key_like_reconciliation() {
    let (shop, cart) = shop_and_cart().await;
    pending(&shop, cart).await;
    let mut other = shop.database.connect().await;
    execute(&mut other, "begin; select from orders for update").await;
    let body = order(cart);
    let (resumed, ()) = tokio::join!(shop.place(&Buyer::Guest, "key", &body), async {
        shop.database.until_waiting_for_lock(1).await;
        execute(
            &mut other,
            "select from idempotency_keys for update nowait; commit",
        )
        .await;
    });
    assert_eq!(expect(resumed, 201).json()["status"], "paid");
}

/// Another process of the shop with these secrets.
async fn with_secrets(shop: &Shop, secrets: &str) -> Shop {
    let changes = Changes::default()
        .set("--payment-url", &shop.gateway.url)
        .set("--jwt-secrets", secrets);
    let gateway = crate::support::gateway::Gateway::start().await;
    Shop {
        shop: TestShop::on(shop.database.clone(), changes).await,
        gateway,
    }
}

async fn assert_token_is_valid(shop: &Shop, order: &Value) {
    let get = axum::http::Request::get(format!("/v1/orders/{}", order["id"].as_str().unwrap()));
    let get = get.header("x-order-token", order["order_token"].as_str().unwrap());
    assert_eq!(shop.send(get).await.ok().json()["id"], order["id"]);
}

const NEW: &str = "new:fedcba9876543210fedcba9876543210";

#[tokio::test]
async fn a_guest_gets_a_valid_token_after_a_key_rotation() {
    let (shop, cart) = shop_and_cart().await;
    let other = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    let first = expect(shop.place(&Buyer::Guest, "other", &order(other)).await, 201);
    let later = pending(&shop, cart).await;

    let rotated = with_secrets(&shop, &format!("{NEW},{SECRETS}")).await;
    let again = expect(rotated.place(&Buyer::Guest, "other", &order(other)).await, 201);
    assert_eq!(
        (&again.body, again.statements()),
        (&first.body, 1),
        "the same response"
    );
    assert_token_is_valid(&rotated, &again.json()).await;
    let resumed = expect(rotated.place(&Buyer::Guest, "key", &order(cart)).await, 201).json();
    assert_eq!(resumed["order_token"], later["order_token"]);
    assert_token_is_valid(&rotated, &resumed).await;

    // This order is created with the new key.
    let cart = rotated.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    let created = expect(rotated.place(&Buyer::Guest, "new", &order(cart)).await, 201).json();
    assert_token_is_valid(&rotated, &created).await;
    assert_token_is_valid(&shop, &created).await;
    // A process without the new key can't derive the token, so it returns none instead of an invalid one.
    let again = expect(shop.place(&Buyer::Guest, "new", &order(cart)).await, 201).json();
    assert_eq!(again["id"], created["id"]);
    assert_eq!(again.get("order_token"), None);
    assert_eq!(again["status"], json!("paid"));
}
