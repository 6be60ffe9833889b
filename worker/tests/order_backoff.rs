//! One bad order among many: the others are reconciled or voided, and the bad one is postponed with
//! exponential backoff.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::{Shop, Worker, until, until_equal};

const BACKGROUND_TASKS: (&str, &str) = ("BACKSTOCK_PARTS", "upkeep");

/// The gateway's response about a bad order: to a look-up, or to a void of its payment.
type BadResponse = fn(Uuid) -> Response;

/// A gateway with a payment for every order, whose id is the order's. It misbehaves for bad orders.
struct Gateway {
    bad: Mutex<BTreeSet<Uuid>>,
    requests: Mutex<Vec<Uuid>>,
    bad_response: BadResponse,
}

impl Gateway {
    async fn start(bad_response: BadResponse) -> (Arc<Self>, String) {
        let gateway = Arc::new(Self {
            bad: Mutex::default(),
            requests: Mutex::default(),
            bad_response,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = gateway.clone();
        let router = Router::new().fallback(async move |uri: Uri| serving.respond(&uri));
        tokio::spawn(axum::serve(listener, router).into_future());
        (gateway, url)
    }

    fn respond(&self, uri: &Uri) -> Response {
        // The URL ends with the order's id, as the idempotency key of a look-up or as the payment's id.
        let url = uri.to_string();
        let id = url.trim_end_matches("/void").rsplit(['=', '/']).next().unwrap();
        let order: Uuid = id.parse().unwrap();
        self.requests.lock().unwrap().push(order);
        if self.bad.lock().unwrap().contains(&order) {
            return (self.bad_response)(order);
        }
        let status = if url.ends_with("/void") {
            "voided"
        } else {
            "authorized"
        };
        payment(order, status).into_response()
    }

    fn mark_bad(&self, order: Uuid) {
        self.bad.lock().unwrap().insert(order);
    }

    fn request_count(&self, order: Uuid) -> usize {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .filter(|requested| **requested == order)
            .count()
    }
}

fn payment(order: Uuid, status: &str) -> String {
    format!(r#"{{"id":"{order}","status":"{status}"}}"#)
}

fn unknown_status(order: Uuid) -> Response {
    payment(order, "refunded").into_response()
}

fn refusal(_: Uuid) -> Response {
    StatusCode::GONE.into_response()
}

fn server_error(_: Uuid) -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

const BAD_RESPONSES: [BadResponse; 3] = [unknown_status, refusal, server_error];

/// How often an order was postponed.
async fn postponements(shop: &Shop, order: Uuid) -> i64 {
    shop.database
        .number(&format!(
            "select put_back::bigint from orders where id = '{order}'"
        ))
        .await
}

/// Backdates an order's reservation, so that the order is due before all others.
async fn make_due_first(shop: &Shop, order: Uuid) {
    shop.database
        .execute(&format!(
            "update orders set reserved_until = now() - interval '1 hour' where id = '{order}'"
        ))
        .await;
}

/// A worker that runs only the background tasks, with this gateway. The longer its lease on an order, the
/// later it retries the order.
async fn start_worker(shop: &Shop, gateway_url: &str, lease_ms: &str) -> Worker {
    shop.worker(&[
        BACKGROUND_TASKS,
        ("BACKSTOCK_PAYMENT_URL", gateway_url),
        ("BACKSTOCK_SETTLE_AGAIN_MS", lease_ms),
    ])
    .await
}

#[tokio::test]
async fn a_payment_that_cannot_be_looked_up_does_not_delay_other_orders() {
    for bad_response in BAD_RESPONSES {
        let shop = Shop::open().await;
        let orders = shop.reserve(200, "now() - interval '1 second'").await;
        let (gateway, url) = Gateway::start(bad_response).await;
        let bad = orders[0].id;
        gateway.mark_bad(bad);
        // The bad order is due first in every round.
        make_due_first(&shop, bad).await;
        let worker = start_worker(&shop, &url, "60000").await;
        until_equal(
            "the others are paid",
            "paid: 199, pending_payment: 1".to_owned(),
            async || shop.statuses().await,
        )
        .await;
        // One request each, so no other order was claimed without being settled. The client retries only
        // server errors.
        for order in &orders[1..] {
            assert_eq!(gateway.request_count(order.id), 1);
        }
        until_equal("it is postponed", 1, async || postponements(&shop, bad).await).await;
        let metric = worker.counter("upkeep_rows_total", &["settle_put_back"]).await;
        assert_eq!(metric, 1);
        let pause = async || {
            let sql = format!(
                "select round(extract(epoch from reserved_until - now()) / 60)::bigint from orders where id = '{bad}'"
            );
            shop.database.number(&sql).await
        };
        assert_eq!(pause().await, 2);
        shop.database
            .execute("update orders set reserved_until = now() - interval '1 second' where status = 'pending_payment'")
            .await;
        until_equal("it is postponed again", 2, async || {
            postponements(&shop, bad).await
        })
        .await;
        assert_eq!(pause().await, 4);
        shop.close().await;
    }
}

#[tokio::test]
async fn a_payment_that_cannot_be_voided_does_not_delay_other_voids() {
    for (number, bad_response) in BAD_RESPONSES.into_iter().enumerate() {
        let shop = Shop::open().await;
        let orders = shop.reserve(60, "now() + interval '1 hour'").await;
        let (gateway, url) = Gateway::start(bad_response).await;
        let bad = orders[0].id;
        gateway.mark_bad(bad);
        shop.database
            .execute(&format!(
                "update orders set status = 'cancelled', payment_id = id::text,
                     updated_at = now() - case when id = '{bad}' then interval '3 hours' else interval '2 hours' end"
            ))
            .await;
        if number == 0 {
            // The payment's status is read by look-ups only, because a void's result is its HTTP status.
            shop.database
                .execute(&format!("update orders set payment_id = null where id = '{bad}'"))
                .await;
        }
        let worker = start_worker(&shop, &url, "60000").await;
        let voided = "select count(*) from orders where payment_voided_at is not null";
        until_equal("the others are voided", 59, async || {
            shop.database.number(voided).await
        })
        .await;
        until_equal("it is postponed", 1, async || postponements(&shop, bad).await).await;
        assert_eq!(worker.counter("upkeep_rows_total", &["void_put_back"]).await, 1);
        let is_later = format!(
            "select count(*) from orders where id = '{bad}' and updated_at > now() + interval '100 s'"
        );
        assert_eq!(shop.database.number(&is_later).await, 1);
        shop.close().await;
    }
}

/// Three bad orders that are due first open the circuit breaker in one round, but not in every round.
#[tokio::test]
async fn the_round_after_an_open_circuit_breaker_starts_with_other_orders() {
    let shop = Shop::open().await;
    let orders = shop.reserve(30, "now() - interval '1 second'").await;
    let (gateway, url) = Gateway::start(server_error).await;
    for order in &orders[..3] {
        gateway.mark_bad(order.id);
        make_due_first(&shop, order.id).await;
    }
    let worker = start_worker(&shop, &url, "1000").await;
    until_equal(
        "the others are paid",
        "paid: 27, pending_payment: 3".to_owned(),
        async || shop.statuses().await,
    )
    .await;
    assert!(worker.counter("upkeep_rows_total", &["settle_put_back"]).await >= 3);
    shop.close().await;
}

#[tokio::test]
async fn an_order_whose_statement_fails_does_not_delay_others() {
    let shop = Shop::open().await;
    let orders = shop.reserve(40, "now() - interval '1 second'").await;
    let bad = orders[0].id;
    // An error of this order only.
    shop.database
        .execute(&format!(
            "create function fail() returns trigger language plpgsql as $$
             begin
                 raise exception 'this order can not end' using errcode = 'check_violation';
             end $$;
             create trigger fail before update of status on orders for each row
             when (new.id = '{bad}') execute function fail();
             update orders set reserved_until = now() - interval '1 hour' where id = '{bad}'"
        ))
        .await;
    let worker = shop
        .worker(&[BACKGROUND_TASKS, ("BACKSTOCK_SETTLE_AGAIN_MS", "60000")])
        .await;
    until_equal(
        "the others have failed",
        "payment_failed: 39, pending_payment: 1".to_owned(),
        async || shop.statuses().await,
    )
    .await;
    until_equal("it is postponed", 1, async || postponements(&shop, bad).await).await;
    until("its reason is logged", async || {
        worker.log().contains("this order can not end")
    })
    .await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_fails_even_if_its_coupon_was_reset_and_its_stock_is_at_the_maximum() {
    let shop = Shop::open().await;
    shop.reserve(3, "now() - interval '1 second'").await;
    shop.database
        .execute("update coupons set uses = 1; update variants set stock_quantity = 2147483647 where sku = 'SKU-1'")
        .await;
    let _worker = shop
        .worker(&[BACKGROUND_TASKS, ("BACKSTOCK_SETTLE_AGAIN_MS", "60000")])
        .await;
    until_equal("all have failed", "payment_failed: 3".to_owned(), async || {
        shop.statuses().await
    })
    .await;
    let held = "select uses || ' ' || (select string_agg(stock_quantity::text, ',' order by sku) from variants) from coupons";
    assert_eq!(shop.database.text(held).await, "0 2147483647,1000,1000,1000");
    shop.close().await;
}
