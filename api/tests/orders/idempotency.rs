//! An idempotency key refers to one order, for any number of requests and after any failure.

use axum::http::Request;
use serde_json::json;

use super::shop::{Buyer, Shop, expect, order, with};
use crate::support::arms::each_arm;
use crate::support::gateway::FaultMode;
use crate::support::shop::Changes;
use crate::support::until;

async fn shop_with_short_timeout() -> Shop {
    Shop::with(Changes::default().set("--payment-timeout-ms", 200)).await
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_response() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    for buyer in [shop.customer().await, Buyer::Guest] {
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let first = expect(shop.place(&buyer, "key", &order(cart)).await, 201);
        assert_eq!(first.header("idempotency-replayed"), None);
        let again = expect(shop.place(&buyer, "key", &order(cart)).await, 201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.body, first.body);
        // One statement looks up the key.
        assert_eq!(again.statements(), 1);
    }
    assert_eq!((shop.order_count().await, shop.stock("SKU-1-0").await), (2, 3));
    assert_eq!(shop.gateway.payment_count(), 2);
    // The stored response contains no token.
    let stored = shop
        .database
        .json("select string_agg(convert_from(answer, 'utf8'), ' ') from idempotency_keys")
        .await;
    assert!(!stored.as_str().unwrap().contains("order_token"));
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_client() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let (one, other) = (shop.customer().await, shop.customer().await);
    let cart = shop.cart(&one, &[("SKU-1-0", 1)]).await;
    expect(shop.place(&one, "key", &order(cart)).await, 201);
    let express = with(order(cart), "shipping_method", "express");
    shop.place(&one, "key", &express)
        .await
        .problem(422, "idempotency_key_reused");
    shop.place(&one, "another", &order(cart))
        .await
        .problem(409, "cart_ordered");
    let others = shop.cart(&other, &[("SKU-1-0", 1)]).await;
    expect(shop.place(&other, "key", &order(others)).await, 201);
    assert_eq!(shop.order_count().await, 2);
}

/// The ways in which a cart without an order disappears: it is deleted after a merge or by cleanup, or
/// assigned to another owner.
const CART_REMOVALS: [&str; 2] = [
    "delete from carts",
    "update carts set token_hash = case when token_hash is null then sha256('another') end,
                      customer_id = case when customer_id is null then (select min(id::text) from customers)::uuid end",
];

#[tokio::test]
async fn a_key_refers_to_its_order_even_after_the_cart_is_gone() {
    for removal in CART_REMOVALS {
        let shop = Shop::start().await;
        shop.set_stock("SKU-1-0", 5).await;
        for buyer in [shop.customer().await, Buyer::Guest] {
            let [declined, paid, pending] = [
                shop.cart(&buyer, &[("SKU-1-0", 1)]).await,
                shop.cart(&buyer, &[("SKU-1-0", 1)]).await,
                shop.cart(&buyer, &[("SKU-1-0", 1)]).await,
            ];
            let declined_body = with(order(declined), "payment_token", "tok_declined");
            shop.place(&buyer, "declined", &declined_body)
                .await
                .problem(402, "payment_declined");
            let first = expect(shop.place(&buyer, "paid", &order(paid)).await, 201);
            shop.gateway.inject(FaultMode::Broken);
            let later = expect(shop.place(&buyer, "pending", &order(pending)).await, 202).json();
            shop.gateway.inject(FaultMode::Healthy);
            shop.database.execute(removal).await;

            let again = shop.place(&buyer, "declined", &declined_body).await;
            again.problem(402, "payment_declined");
            assert_eq!(
                (again.header("idempotency-replayed"), again.statements()),
                (Some("true"), 1)
            );
            let again = expect(shop.place(&buyer, "paid", &order(paid)).await, 201);
            assert_eq!((&again.body, again.statements()), (&first.body, 1));
            let settled = expect(shop.place(&buyer, "pending", &order(pending)).await, 201).json();
            assert_eq!(
                (&settled["id"], &settled["status"]),
                (&later["id"], &json!("paid"))
            );
            // With a new key, the cart isn't found.
            shop.place(&buyer, "new", &order(declined))
                .await
                .problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_guests_key_reveals_nothing_without_the_carts_token() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    expect(shop.place(&Buyer::Guest, "key", &order(cart)).await, 201);
    let customer = shop.customer().await;
    let request_with_key = || Request::post("/v1/orders").header("idempotency-key", "key");
    for removal in [None, Some("delete from carts")] {
        if let Some(removal) = removal {
            shop.database.execute(removal).await;
        }
        let another =
            request_with_key().header("x-cart-token", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI");
        for request in [request_with_key(), another, customer.identify(request_with_key())] {
            shop.send_json(request, &order(cart))
                .await
                .problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn fifty_concurrent_requests_with_one_key_are_one_order_and_one_payment() {
    each_arm("stock", async || {
        let shop = Shop::with(Changes::default().set("--database-connections", 6)).await;
        shop.set_stock("SKU-1-0", 100).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let body = order(cart);
        let all = futures_util::future::join_all((0..50).map(|_| shop.place(&buyer, "key", &body))).await;
        let mut orders = Vec::new();
        for response in all {
            match response.status.as_u16() {
                201 => orders.push(response.json()["id"].clone()),
                _ => {
                    response.problem(409, "request_in_progress");
                }
            }
        }
        orders.dedup();
        assert_eq!(orders.len(), 1);
        assert_eq!((shop.order_count().await, shop.stock("SKU-1-0").await), (1, 99));
        assert_eq!(
            (shop.gateway.authorizations(), shop.gateway.payment_count()),
            (1, 1)
        );
        assert_eq!(shop.database.number("select count(*) from outbox").await, 1);
    })
    .await;
}

#[tokio::test]
async fn fifty_concurrent_keys_for_one_cart_are_one_order() {
    each_arm("stock", async || {
        let shop = Shop::with(Changes::default().set("--database-connections", 6)).await;
        shop.set_stock("SKU-1-0", 100).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let all = futures_util::future::join_all((0..50).map(|_| shop.buy(&buyer, cart))).await;
        let placed = all.iter().filter(|response| response.status == 201).count();
        for response in all.iter().filter(|response| response.status != 201) {
            response.problem(409, "cart_ordered");
        }
        assert_eq!(
            (placed, shop.order_count().await, shop.stock("SKU-1-0").await),
            (1, 1, 99)
        );
        assert_eq!(shop.gateway.payment_count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_was_authorized_but_timed_out_is_found_by_the_retry() {
    each_arm("stock", async || {
        let shop = shop_with_short_timeout().await;
        shop.set_stock("SKU-1-0", 5).await;
        for buyer in [shop.customer().await, Buyer::Guest] {
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            shop.gateway.inject(FaultMode::Stalled);
            let pending = expect(shop.place(&buyer, "key", &order(cart)).await, 202).json();
            assert_eq!(pending["status"], "pending_payment");
            let id = pending["id"].as_str().unwrap();
            assert_eq!(shop.gateway.payment(id).unwrap().status, "authorized");
            // The outcome is still unknown.
            assert_eq!(
                expect(shop.place(&buyer, "key", &order(cart)).await, 202).json()["id"],
                id
            );
            shop.gateway.inject(FaultMode::Healthy);
            let paid = expect(shop.place(&buyer, "key", &order(cart)).await, 201);
            assert_eq!(paid.header("idempotency-replayed"), None);
            let paid = paid.json();
            assert_eq!((paid["id"].as_str(), &paid["status"]), (Some(id), &json!("paid")));
            assert_eq!(paid["order_token"], pending["order_token"]);
            assert_eq!(paid["order_token"].is_string(), matches!(buyer, Buyer::Guest));
            let replayed = expect(shop.place(&buyer, "key", &order(cart)).await, 201);
            assert_eq!(replayed.json(), paid);
        }
        assert_eq!((shop.order_count().await, shop.stock("SKU-1-0").await), (2, 3));
        assert_eq!(shop.gateway.payment_count(), 2);
        assert_eq!(shop.database.number("select count(*) from outbox").await, 2);
    })
    .await;
}

#[tokio::test]
async fn an_order_stays_pending_while_the_gateway_fails() {
    each_arm("stock", async || {
        let shop = shop_with_short_timeout().await;
        shop.set_stock("SKU-1-0", 5).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        shop.gateway.inject(FaultMode::Broken);
        expect(shop.place(&buyer, "key", &order(cart)).await, 202);
        assert!(shop.gateway.authorizations() > 1, "the authorization is retried");
        assert_eq!(shop.stock("SKU-1-0").await, 4, "the stock stays reserved");
        shop.gateway.inject(FaultMode::Healthy);
        expect(shop.place(&buyer, "key", &order(cart)).await, 201);
        assert_eq!(
            (
                shop.order_count().await,
                shop.gateway.payment_count(),
                shop.stock("SKU-1-0").await
            ),
            (1, 1, 4)
        );
    })
    .await;
}

#[tokio::test]
async fn a_concurrent_duplicate_is_rejected_as_in_progress() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    shop.gateway.inject(FaultMode::Stalled);
    let body = order(cart);
    let (first, ()) = tokio::join!(shop.place(&buyer, "key", &body), async {
        until("the payment is in progress", async || {
            (shop.gateway.payment_count() == 1).then_some(())
        })
        .await;
        shop.place(&buyer, "key", &body)
            .await
            .problem(409, "request_in_progress");
        shop.gateway.inject(FaultMode::Healthy);
    });
    expect(first, 201);
    assert_eq!(shop.gateway.authorizations(), 1);
}

#[tokio::test]
async fn an_order_runs_to_completion_after_its_client_disconnects() {
    each_arm("stock", async || {
        let shop = Shop::with(Changes::default()).await;
        shop.set_stock("SKU-1-0", 5).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        shop.gateway.inject(FaultMode::Stalled);
        let body = order(cart);
        tokio::select! {
            _ = shop.place(&buyer, "key", &body) => panic!("the payment can't have finished"),
            () = until("the payment is in progress", async || (shop.gateway.payment_count() == 1).then_some(())) => {}
        }
        shop.gateway.inject(FaultMode::Healthy);
        until("the order is paid", async || {
            let paid = shop
                .database
                .number("select count(*) from orders where status = 'paid'")
                .await;
            (paid == 1).then_some(())
        })
        .await;
        let replayed = expect(shop.place(&buyer, "key", &body).await, 201);
        assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    })
    .await;
}

#[tokio::test]
async fn an_order_of_a_crashed_process_is_resumed_after_its_lease_expires() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    shop.gateway.inject(FaultMode::Broken);
    let pending = expect(shop.place(&buyer, "key", &order(cart)).await, 202).json();
    shop.gateway.inject(FaultMode::Healthy);
    let set_lease = async |expiry: &str| {
        shop.database
            .execute(&format!(
                "update idempotency_keys set locked_until = now() {expiry}"
            ))
            .await;
    };
    // The state that the crashed process left.
    set_lease("+ interval '1 minute'").await;
    shop.place(&buyer, "key", &order(cart))
        .await
        .problem(409, "request_in_progress");
    set_lease("- interval '1 second'").await;
    let body = order(cart);
    let all = futures_util::future::join_all((0..10).map(|_| shop.place(&buyer, "key", &body))).await;
    let resumed: Vec<_> = all.iter().filter(|response| response.status == 201).collect();
    assert!(!resumed.is_empty());
    assert!(
        resumed
            .iter()
            .all(|response| response.json()["id"] == pending["id"])
    );
    assert_eq!(
        (
            shop.order_count().await,
            shop.gateway.payment_count(),
            shop.stock("SKU-1-0").await
        ),
        (1, 1, 4)
    );
}

#[tokio::test]
async fn a_retry_returns_an_order_that_was_settled_meanwhile() {
    for (status, expected) in [("paid", 201), ("payment_failed", 402)] {
        let shop = Shop::start().await;
        shop.set_stock("SKU-1-0", 5).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        shop.gateway.inject(FaultMode::Broken);
        expect(shop.place(&buyer, "key", &order(cart)).await, 202);
        shop.gateway.inject(FaultMode::Healthy);
        shop.database
            .execute(&format!("update orders set status = '{status}'"))
            .await;
        let authorizations = shop.gateway.authorizations();
        for replayed in [None, Some("true")] {
            let response = expect(shop.place(&buyer, "key", &order(cart)).await, expected);
            assert_eq!(response.header("idempotency-replayed"), replayed);
        }
        assert_eq!(shop.gateway.authorizations(), authorizations);
    }
}

#[tokio::test]
async fn a_payment_authorized_after_its_order_failed_is_voided() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    shop.gateway.inject(FaultMode::Stalled);
    let body = order(cart);
    let (response, ()) = tokio::join!(shop.place(&buyer, "key", &body), async {
        until("the payment is in progress", async || {
            (shop.gateway.payment_count() == 1).then_some(())
        })
        .await;
        shop.database
            .execute("update orders set status = 'payment_failed', cart_id = null; update variants set stock_quantity = 5 where sku = 'SKU-1-0'")
            .await;
        shop.gateway.inject(FaultMode::Healthy);
    });
    response.problem(402, "payment_declined");
    assert_eq!(
        (
            shop.gateway.count_with_status("voided"),
            shop.gateway.count_with_status("authorized")
        ),
        (1, 0)
    );
    let voided = "select count(*) from orders where payment_voided_at is not null and payment_id is not null";
    assert_eq!(shop.database.number(voided).await, 1);
    assert_eq!(shop.database.number("select count(*) from outbox").await, 0);
}
