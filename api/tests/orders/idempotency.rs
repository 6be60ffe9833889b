//! A key stands for one order, whoever asks with it how often, and whatever was lost meanwhile.

use axum::http::Request;
use serde_json::json;

use super::shopping::{Buyer, Shop, expect, order, with};
use crate::support::arms::arms_of;
use crate::support::gateway::Mood;
use crate::support::shop::Changes;
use crate::support::until;

/// Shops in all arms of `stock` whose gateway may take its time for a moment only.
async fn impatient_shops() -> Vec<Shop> {
    let mut shops = Vec::new();
    for variants in arms_of("stock") {
        let changes = Changes::default().set("--payment-timeout-ms", 200);
        shops.push(Shop::with(variants, changes).await);
    }
    shops
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    for buyer in [shop.customer().await, Buyer::Guest] {
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let first = expect(shop.place(&buyer, "key", &order(cart)).await, 201);
        assert_eq!(first.header("idempotency-replayed"), None);
        let again = expect(shop.place(&buyer, "key", &order(cart)).await, 201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.body, first.body);
        // One statement looks it up.
        assert_eq!(again.statements(), 1);
    }
    assert_eq!((shop.orders().await, shop.stock("SKU-1-0").await), (2, 3));
    assert_eq!(shop.gateway.payments(), 2);
    // What is kept opens nothing.
    let kept = shop
        .database
        .json("select string_agg(convert_from(answer, 'utf8'), ' ') from idempotency_keys")
        .await;
    assert!(!kept.as_str().unwrap().contains("order_token"));
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_client() {
    let shop = Shop::start("optimized").await;
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
    assert_eq!(shop.orders().await, 2);
}

/// What may become of a cart when no order has it any more: it is merged into another, or purged, or handed over.
const GONE: [&str; 2] = [
    "delete from carts",
    "update carts set token_hash = case when token_hash is null then sha256('another') end,
                      customer_id = case when customer_id is null then (select min(id::text) from customers)::uuid end",
];

#[tokio::test]
async fn a_key_stands_for_its_order_whatever_became_of_the_cart() {
    for gone in GONE {
        let shop = Shop::start("optimized").await;
        shop.set_stock("SKU-1-0", 5).await;
        for buyer in [shop.customer().await, Buyer::Guest] {
            let [declined, paid, pending] = [
                shop.cart(&buyer, &[("SKU-1-0", 1)]).await,
                shop.cart(&buyer, &[("SKU-1-0", 1)]).await,
                shop.cart(&buyer, &[("SKU-1-0", 1)]).await,
            ];
            let declining = with(order(declined), "payment_token", "tok_declined");
            shop.place(&buyer, "declined", &declining)
                .await
                .problem(402, "payment_declined");
            let first = expect(shop.place(&buyer, "paid", &order(paid)).await, 201);
            shop.gateway.is(Mood::Broken);
            let later = expect(shop.place(&buyer, "pending", &order(pending)).await, 202).json();
            shop.gateway.is(Mood::Well);
            shop.database.execute(gone).await;

            let again = shop.place(&buyer, "declined", &declining).await;
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
            // Under a new key there is no such cart.
            shop.place(&buyer, "new", &order(declined))
                .await
                .problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_guests_key_is_nothing_to_who_has_not_the_carts_token() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
    expect(shop.place(&Buyer::Guest, "key", &order(cart)).await, 201);
    let somebody = shop.customer().await;
    let asked = || Request::post("/v1/orders").header("idempotency-key", "key");
    for gone in [None, Some("delete from carts")] {
        if let Some(gone) = gone {
            shop.database.execute(gone).await;
        }
        let another = asked().header("x-cart-token", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI");
        for request in [asked(), another, somebody.identify(asked())] {
            shop.send_json(request, &order(cart))
                .await
                .problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn fifty_at_once_with_one_key_are_one_order_and_one_payment() {
    for variants in arms_of("stock") {
        let shop = Shop::with(variants, Changes::default().set("--database-connections", 6)).await;
        shop.set_stock("SKU-1-0", 100).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let body = order(cart);
        let all = futures_util::future::join_all((0..50).map(|_| shop.place(&buyer, "key", &body))).await;
        let mut orders = Vec::new();
        for answer in all {
            match answer.status.as_u16() {
                201 => orders.push(answer.json()["id"].clone()),
                _ => {
                    answer.problem(409, "request_in_progress");
                }
            }
        }
        orders.dedup();
        assert_eq!(orders.len(), 1, "{variants}");
        assert_eq!((shop.orders().await, shop.stock("SKU-1-0").await), (1, 99));
        assert_eq!((shop.gateway.asked(), shop.gateway.payments()), (1, 1));
        assert_eq!(shop.database.number("select count(*) from outbox").await, 1);
    }
}

#[tokio::test]
async fn fifty_keys_for_one_cart_are_one_order() {
    for variants in arms_of("stock") {
        let shop = Shop::with(variants, Changes::default().set("--database-connections", 6)).await;
        shop.set_stock("SKU-1-0", 100).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let all = futures_util::future::join_all((0..50).map(|_| shop.buy(&buyer, cart))).await;
        let placed = all.iter().filter(|answer| answer.status == 201).count();
        for answer in all.iter().filter(|answer| answer.status != 201) {
            answer.problem(409, "cart_ordered");
        }
        assert_eq!(
            (placed, shop.orders().await, shop.stock("SKU-1-0").await),
            (1, 1, 99),
            "{variants}"
        );
        assert_eq!(shop.gateway.payments(), 1);
    }
}

#[tokio::test]
async fn a_payment_that_timed_out_after_it_was_authorized_is_found_again() {
    for shop in impatient_shops().await {
        shop.set_stock("SKU-1-0", 5).await;
        for buyer in [shop.customer().await, Buyer::Guest] {
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            shop.gateway.is(Mood::Silent);
            let pending = expect(shop.place(&buyer, "key", &order(cart)).await, 202).json();
            assert_eq!(pending["status"], "pending_payment");
            let id = pending["id"].as_str().unwrap();
            assert_eq!(shop.gateway.payment(id).unwrap().status, "authorized");
            // Still nothing is known.
            assert_eq!(
                expect(shop.place(&buyer, "key", &order(cart)).await, 202).json()["id"],
                id
            );
            shop.gateway.is(Mood::Well);
            let paid = expect(shop.place(&buyer, "key", &order(cart)).await, 201);
            assert_eq!(paid.header("idempotency-replayed"), None);
            let paid = paid.json();
            assert_eq!((paid["id"].as_str(), &paid["status"]), (Some(id), &json!("paid")));
            assert_eq!(paid["order_token"], pending["order_token"]);
            assert_eq!(paid["order_token"].is_string(), matches!(buyer, Buyer::Guest));
            let replayed = expect(shop.place(&buyer, "key", &order(cart)).await, 201);
            assert_eq!(replayed.json(), paid);
        }
        assert_eq!((shop.orders().await, shop.stock("SKU-1-0").await), (2, 3));
        assert_eq!(shop.gateway.payments(), 2, "{}", shop.variants);
        assert_eq!(shop.database.number("select count(*) from outbox").await, 2);
    }
}

#[tokio::test]
async fn a_gateway_that_fails_leaves_the_order_for_later() {
    for shop in impatient_shops().await {
        shop.set_stock("SKU-1-0", 5).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        shop.gateway.is(Mood::Broken);
        expect(shop.place(&buyer, "key", &order(cart)).await, 202);
        assert!(
            shop.gateway.asked() > 1,
            "it is asked again before it is given up"
        );
        assert_eq!(shop.stock("SKU-1-0").await, 4, "the stock is held");
        shop.gateway.is(Mood::Well);
        expect(shop.place(&buyer, "key", &order(cart)).await, 201);
        assert_eq!(
            (
                shop.orders().await,
                shop.gateway.payments(),
                shop.stock("SKU-1-0").await
            ),
            (1, 1, 4)
        );
    }
}

#[tokio::test]
async fn a_twin_that_comes_while_the_payment_is_under_way_is_told_so() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    shop.gateway.is(Mood::Silent);
    let body = order(cart);
    let (first, ()) = tokio::join!(shop.place(&buyer, "key", &body), async {
        until("the payment is under way", async || {
            (shop.gateway.payments() == 1).then_some(())
        })
        .await;
        shop.place(&buyer, "key", &body)
            .await
            .problem(409, "request_in_progress");
        shop.gateway.is(Mood::Well);
    });
    expect(first, 201);
    assert_eq!(shop.gateway.asked(), 1);
}

#[tokio::test]
async fn an_order_goes_on_when_its_client_has_gone() {
    for variants in arms_of("stock") {
        let shop = Shop::with(variants, Changes::default()).await;
        shop.set_stock("SKU-1-0", 5).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        shop.gateway.is(Mood::Silent);
        let body = order(cart);
        tokio::select! {
            _ = shop.place(&buyer, "key", &body) => panic!("nobody answered yet"),
            () = until("the payment is under way", async || (shop.gateway.payments() == 1).then_some(())) => {}
        }
        shop.gateway.is(Mood::Well);
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
    }
}

#[tokio::test]
async fn the_order_of_a_process_that_died_is_resumed_when_its_lock_has_ended() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    shop.gateway.is(Mood::Broken);
    let pending = expect(shop.place(&buyer, "key", &order(cart)).await, 202).json();
    shop.gateway.is(Mood::Well);
    let lock = async |until: &str| {
        shop.database
            .execute(&format!(
                "update idempotency_keys set locked_until = now() {until}"
            ))
            .await;
    };
    // As its process left it.
    lock("+ interval '1 minute'").await;
    shop.place(&buyer, "key", &order(cart))
        .await
        .problem(409, "request_in_progress");
    lock("- interval '1 second'").await;
    let body = order(cart);
    let all = futures_util::future::join_all((0..10).map(|_| shop.place(&buyer, "key", &body))).await;
    let resumed: Vec<_> = all.iter().filter(|answer| answer.status == 201).collect();
    assert!(!resumed.is_empty());
    assert!(resumed.iter().all(|answer| answer.json()["id"] == pending["id"]));
    assert_eq!(
        (
            shop.orders().await,
            shop.gateway.payments(),
            shop.stock("SKU-1-0").await
        ),
        (1, 1, 4)
    );
}

#[tokio::test]
async fn an_order_that_was_settled_meanwhile_is_told_as_it_is() {
    for (status, answers) in [("paid", 201), ("payment_failed", 402)] {
        let shop = Shop::start("optimized").await;
        shop.set_stock("SKU-1-0", 5).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        shop.gateway.is(Mood::Broken);
        expect(shop.place(&buyer, "key", &order(cart)).await, 202);
        shop.gateway.is(Mood::Well);
        shop.database
            .execute(&format!("update orders set status = '{status}'"))
            .await;
        let asked = shop.gateway.asked();
        for replayed in [None, Some("true")] {
            let answer = expect(shop.place(&buyer, "key", &order(cart)).await, answers);
            assert_eq!(answer.header("idempotency-replayed"), replayed);
        }
        assert_eq!(shop.gateway.asked(), asked);
    }
}

#[tokio::test]
async fn a_payment_that_comes_too_late_for_its_order_is_let_go() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    shop.gateway.is(Mood::Silent);
    let body = order(cart);
    let (answer, ()) = tokio::join!(shop.place(&buyer, "key", &body), async {
        until("the payment is under way", async || {
            (shop.gateway.payments() == 1).then_some(())
        })
        .await;
        shop.database
            .execute("update orders set status = 'payment_failed', cart_id = null; update variants set stock_quantity = 5 where sku = 'SKU-1-0'")
            .await;
        shop.gateway.is(Mood::Well);
    });
    answer.problem(402, "payment_declined");
    assert_eq!(
        (shop.gateway.count("voided"), shop.gateway.count("authorized")),
        (1, 0)
    );
    let voided = "select count(*) from orders where payment_voided_at is not null and payment_id is not null";
    assert_eq!(shop.database.number(voided).await, 1);
    assert_eq!(shop.database.number("select count(*) from outbox").await, 0);
}
