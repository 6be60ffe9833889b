//! Overselling is prevented, in an interleaving that the test controls and under concurrency.

use futures_util::future::join_all;
use sqlx::Connection;

use super::shop::{Shop, expect};
use crate::support::database::execute;
use crate::support::gateway::FaultMode;
use crate::support::shop::Changes;
use crate::support::until;

/// Two buyers order the last unit. The test holds the lock of its row, so both orders wait where they reserve
/// it, independent of the machine's speed. Returns the number of units sold.
pub async fn race_for_last_unit() -> (usize, Shop) {
    let shop = Shop::with(Changes::default().set("--database-connections", 4)).await;
    shop.set_stock("SKU-1-0", 1).await;
    let mut carts = Vec::new();
    for _ in 0..2 {
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        carts.push((buyer, cart));
    }
    let mut holder = shop.database.connect().await;
    execute(
        &mut holder,
        "begin; select from variants where sku = 'SKU-1-0' for update",
    )
    .await;
    let buying = join_all(carts.iter().map(|(buyer, cart)| shop.buy(buyer, *cart)));
    let (responses, ()) = tokio::join!(buying, async {
        shop.database.until_waiting_for_lock(2).await;
        execute(&mut holder, "commit").await;
    });
    holder.close().await.unwrap();
    let sold = responses.iter().filter(|response| response.status == 201).count();
    for response in responses.iter().filter(|response| response.status != 201) {
        response.problem(409, "insufficient_stock");
    }
    assert_eq!(
        shop.stock("SKU-1-0").await,
        0,
        "never below zero, even when oversold"
    );
    assert_eq!(shop.sold("SKU-1-0").await, sold as i64);
    (sold, shop)
}

#[tokio::test]
async fn the_last_unit_is_sold_once() {
    let (sold, shop) = race_for_last_unit().await;
    assert_eq!(sold, 1);
    assert_eq!(
        shop.gateway.payment_count(),
        1,
        "only the buyer who gets the unit is charged"
    );
}

/// Whether a second order of the SKU can proceed while the first one waits for its payment.
pub async fn proceeds_during_payment() -> bool {
    let shop = Shop::with(Changes::default().set("--database-connections", 4)).await;
    shop.set_stock("SKU-1-0", 10).await;
    let (one, other) = (shop.customer().await, shop.customer().await);
    let (first, second) = (
        shop.cart(&one, &[("SKU-1-0", 1)]).await,
        shop.cart(&other, &[("SKU-1-0", 1)]).await,
    );
    shop.gateway.inject(FaultMode::Stalled);
    let both = async { tokio::join!(shop.buy(&one, first), shop.buy(&other, second)) };
    let observing = async {
        let proceeds = until(
            "the second is at the gateway, or waits for the first",
            async || {
                let waits = shop.database.waiting_for_lock().await > 0;
                match (shop.gateway.payment_count(), waits) {
                    (2, _) => Some(true),
                    (1, true) => Some(false),
                    _ => None,
                }
            },
        )
        .await;
        shop.gateway.inject(FaultMode::Healthy);
        proceeds
    };
    let ((one, other), proceeds) = tokio::join!(both, observing);
    expect(one, 201);
    expect(other, 201);
    assert_eq!(shop.stock("SKU-1-0").await, 8);
    proceeds
}

#[tokio::test]
async fn an_order_does_not_block_others_during_its_payment() {
    assert!(proceeds_during_payment().await);
}

#[tokio::test]
async fn concurrent_buyers_get_exactly_the_available_stock() {
    assert_exactly_the_stock_is_sold().await;
}

pub async fn assert_exactly_the_stock_is_sold() {
    let shop = Shop::with(Changes::default().set("--database-connections", 6)).await;
    shop.set_stock("SKU-1-0", 12).await;
    shop.set_stock("SKU-2-0", 100).await;
    let buyer = shop.customer().await;
    let mut carts = Vec::new();
    for number in 0..40 {
        // In both orders of SKUs, so that an inconsistent lock order would deadlock.
        let items = [("SKU-1-0", 1), ("SKU-2-0", 2)];
        let items = if number % 2 == 0 {
            items
        } else {
            [items[1], items[0]]
        };
        carts.push(shop.cart(&buyer, &items).await);
    }
    let responses = join_all(carts.iter().map(|cart| shop.buy(&buyer, *cart))).await;
    let sold = responses.iter().filter(|response| response.status == 201).count();
    for response in responses.iter().filter(|response| response.status != 201) {
        response.problem(409, "insufficient_stock");
    }
    assert_eq!(sold, 12);
    assert_eq!(
        (shop.stock("SKU-1-0").await, shop.stock("SKU-2-0").await),
        (0, 76)
    );
    assert_eq!((shop.sold("SKU-1-0").await, shop.sold("SKU-2-0").await), (12, 24));
    assert_eq!(
        (
            shop.gateway.payment_count(),
            shop.gateway.count_with_status("authorized")
        ),
        (12, 12)
    );
}

#[tokio::test]
async fn an_order_takes_three_statements() {
    assert_statements(3).await;
}

/// Asserts the number of statements of orders with one and two lines.
pub async fn assert_statements(statements: u64) {
    let mut shop = Shop::start().await;
    shop.shop.stop_following_changes().await;
    shop.set_stock("SKU-1-0", 10).await;
    shop.set_stock("SKU-1-1", 10).await;
    let buyer = shop.customer().await;
    for items in [&[("SKU-1-0", 1)][..], &[("SKU-1-0", 1), ("SKU-1-1", 2)]] {
        let cart = shop.cart(&buyer, items).await;
        assert_eq!(expect(shop.buy(&buyer, cart).await, 201).statements(), statements);
    }
    // A sold-out order takes one statement.
    shop.set_stock("SKU-1-0", 0).await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    assert_eq!(shop.buy(&buyer, cart).await.statements(), 1);
}
