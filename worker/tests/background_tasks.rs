//! The background tasks: unsettled orders are reconciled once, even by concurrent workers, and expired rows
//! are deleted.

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Shop, until, until_equal};

const BACKGROUND_TASKS: (&str, &str) = ("BACKSTOCK_PARTS", "upkeep");

/// The stock of all variants, and the coupon's uses.
const HELD: &str = "select (select string_agg(stock_quantity::text, ',' order by sku) from variants) || ' ' || uses from coupons";

#[tokio::test]
async fn an_unpaid_reservation_returns_everything_exactly_once() {
    let shop = Shop::open().await;
    shop.reserve(50, "now() - interval '1 second'").await;
    let still_held = shop.reserve(1, "now() + interval '1 hour'").await;
    assert_eq!(shop.database.text(HELD).await, "949,898,1000,1000 51");
    let (_first, _second) = tokio::join!(shop.worker(&[BACKGROUND_TASKS]), shop.worker(&[BACKGROUND_TASKS]));
    until_equal(
        "they have failed",
        "payment_failed: 50, pending_payment: 1".to_owned(),
        async || shop.statuses().await,
    )
    .await;
    assert_eq!(shop.database.text(HELD).await, "999,998,1000,1000 1");
    let number = async |sql: &str| shop.database.number(sql).await;
    assert_eq!(
        number("select count(*) from order_events where event = 'payment_failed'").await,
        50
    );
    assert_eq!(
        number("select count(*) from orders where cart_id is null").await,
        50,
        "carts can be ordered again"
    );
    assert_eq!(number("select count(*) from outbox").await, 0);
    let cart = format!(
        "select count(*) from orders where cart_id = '{}'",
        still_held[0].id
    );
    assert_eq!(number(&cart).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn a_payment_whose_response_was_lost_is_found_and_the_order_is_fulfilled() {
    let shop = Shop::open().await;
    let orders = shop.reserve(10, "now() - interval '1 second'").await;
    for order in &orders {
        shop.simulators.authorize(order.id, 3195, "tok_ok").await;
    }
    let declined = shop.reserve(1, "now() - interval '1 second'").await;
    shop.simulators
        .authorize(declined[0].id, 3195, "tok_declined")
        .await;
    let (_first, _second) = tokio::join!(shop.worker(&[]), shop.worker(&[]));
    until_equal(
        "all are settled",
        "fulfilled: 10, payment_failed: 1".to_owned(),
        async || shop.statuses().await,
    )
    .await;
    assert_eq!(shop.database.text(HELD).await, "990,980,1000,1000 10");
    let events = "select string_agg(event, ' ' order by id) from order_events where order_id = ";
    let timeline = async || {
        let sql = format!("{events}'{}'", orders[0].id);
        shop.database.text(&sql).await
    };
    until("the timeline is whole", async || {
        timeline().await.contains("confirmation_sent")
    })
    .await;
    assert!(timeline().await.starts_with("paid"));
    let paid = shop
        .database
        .number("select count(*) from order_events where event = 'paid'")
        .await;
    assert_eq!(paid, 10);
    shop.close().await;
}

/// Accepts the next request to the gateway, and returns its connection for the response.
async fn next_request(gateway: &TcpListener) -> BufReader<TcpStream> {
    let (connection, _) = gateway.accept().await.unwrap();
    let mut connection = BufReader::new(connection);
    let mut line = String::new();
    while connection.read_line(&mut line).await.unwrap() > 2 {
        line.clear();
    }
    connection
}

#[tokio::test]
async fn an_order_that_a_retry_resumes_during_the_look_up_is_not_failed() {
    let shop = Shop::open().await;
    shop.reserve(2, "now() - interval '1 second'").await;
    let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gateway.local_addr().unwrap());
    let _worker = shop
        .worker(&[
            BACKGROUND_TASKS,
            ("BACKSTOCK_PAYMENT_URL", &url),
            ("BACKSTOCK_SETTLE_AGAIN_MS", "60000"),
        ])
        .await;
    let mut first = next_request(&gateway).await;
    // A retry extends the reservation before it authorizes.
    shop.database
        .execute("update orders set reserved_until = now() + interval '1 minute'")
        .await;
    let nothing = b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    first.write_all(nothing).await.unwrap();
    // The worker looks up the second order after it has finished the first.
    let _second = next_request(&gateway).await;
    assert_eq!(shop.statuses().await, "pending_payment: 2");
    assert_eq!(shop.database.text(HELD).await, "998,996,1000,1000 2");
    shop.close().await;
}

#[tokio::test]
async fn an_order_is_not_settled_while_the_gateway_fails() {
    let shop = Shop::open().await;
    let orders = shop.reserve(3, "now() - interval '1 second'").await;
    for order in &orders {
        shop.simulators.authorize(order.id, 3195, "tok_ok").await;
    }
    shop.simulators
        .set_faults(&shop.simulators.payment, json!({ "failure_error": 1.0 }))
        .await;
    let worker = shop.worker(&[BACKGROUND_TASKS]).await;
    until("it has called the gateway", async || {
        worker.log().contains("the gateway didn't respond")
    })
    .await;
    assert_eq!(shop.statuses().await, "pending_payment: 3");
    shop.simulators
        .set_faults(&shop.simulators.payment, json!({ "failure_error": 0.0 }))
        .await;
    until_equal("all are paid", "paid: 3".to_owned(), async || {
        shop.statuses().await
    })
    .await;
    assert_eq!(shop.database.number("select count(*) from outbox").await, 3);
    shop.close().await;
}

#[tokio::test]
async fn payments_of_cancelled_orders_are_voided_whether_they_were_recorded_or_not() {
    let shop = Shop::open().await;
    let orders = shop.reserve(3, "now() + interval '1 hour'").await;
    shop.pay(&orders[..1]).await;
    // The second was cancelled before the gateway's response was recorded, the third before
    // the gateway was called.
    shop.simulators.authorize(orders[1].id, 3195, "tok_ok").await;
    shop.database
        .execute("update orders set status = 'cancelled', updated_at = now() - interval '1 minute'")
        .await;
    let _worker = shop.worker(&[BACKGROUND_TASKS]).await;
    let unvoided = "select count(*) from orders where payment_voided_at is null";
    until_equal("all are voided", 0, async || shop.database.number(unvoided).await).await;
    for (order, status) in orders.iter().zip(["voided", "voided", "none"]) {
        assert_eq!(shop.simulators.payment_status(order.id).await, status);
    }
    let known = "select count(payment_id) from orders";
    assert_eq!(
        shop.database.number(known).await,
        2,
        "the gateway's ids are recorded"
    );
    shop.close().await;
}

#[tokio::test]
async fn a_payment_that_arrives_after_its_order_has_failed_is_voided() {
    let shop = Shop::open().await;
    let orders = shop.reserve(3, "now() + interval '1 hour'").await;
    let [soon, late, never] = [orders[0].id, orders[1].id, orders[2].id];
    shop.database
        .execute(
            "update orders set status = 'payment_failed', updated_at = now() - interval '1 minute';
             insert into order_events (order_id, id, event) select id, id, 'payment_failed' from orders",
        )
        .await;
    shop.simulators.authorize(soon, 3195, "tok_ok").await;
    let ten_minutes = ("BACKSTOCK_VOID_GRACE_MS", "600000");
    let _worker = shop.worker(&[BACKGROUND_TASKS, ten_minutes]).await;
    let looked_up = "select count(*) filter (where payment_voided_at is not null) || ' ' ||
                            count(*) filter (where payment_voided_at is null and updated_at > now() + interval '5 minutes')
                     from orders";
    until_equal(
        "one is voided, and the gateway knows no payment of the other two yet",
        "1 2".to_owned(),
        async || shop.database.text(looked_up).await,
    )
    .await;
    assert_eq!(shop.simulators.payment_status(soon).await, "voided");
    shop.simulators.authorize(late, 3195, "tok_ok").await;
    // Simulates the passing of two hours.
    shop.database
        .execute(
            "update order_events set at = at - interval '2 hours';
             update orders set updated_at = updated_at - interval '2 hours'",
        )
        .await;
    let unvoided = "select count(*) from orders where payment_voided_at is null";
    until_equal("nothing is held", 0, async || {
        shop.database.number(unvoided).await
    })
    .await;
    for (order, status) in [(soon, "voided"), (late, "voided"), (never, "none")] {
        assert_eq!(shop.simulators.payment_status(order).await, status);
    }
    shop.close().await;
}

/// Creates a customer with an expired session and a current one.
const SESSIONS: &str = "
    insert into customers (id, email, name, password_hash) values (gen_random_uuid(), 'a@b.c', 'A', 'x');
    insert into sessions (id, customer_id, expires_at)
    select gen_random_uuid(), id, now() + days * interval '1 day' from customers, unnest(array[-1, 1]) days";

#[tokio::test]
async fn expired_rows_are_deleted_and_the_rest_stays() {
    let shop = Shop::open().await;
    shop.reserve(1, "now() + interval '1 hour'").await;
    shop.database.execute(SESSIONS).await;
    // More than a batch of inbox rows.
    shop.database
        .execute(
            "insert into refresh_tokens (token_hash, session_id, expires_at)
             select sha256(id::text::bytea), id, now() - interval '1 day' from sessions;
             insert into refresh_tokens (token_hash, session_id, expires_at, used_at)
             select sha256(hours::text::bytea), id, now() + interval '1 day', now() - hours * interval '1 hour'
             from sessions, unnest(array[0.5, 2]) hours where expires_at > now();
             insert into catalog_changes (kind, at)
             select 'reference', now() - hours * interval '1 hour' from unnest(array[0.5, 2]) hours;
             insert into idempotency_keys (owner, key, request_hash, expires_at, order_id)
             select sha256('a'), days::text, sha256('b'), now() + days * interval '1 day', id
             from orders, unnest(array[-1, 1]) days;
             insert into inbox (message_id, consumer, done_at)
             select gen_random_uuid(), 'popularity', now() - interval '40 days' from generate_series(1, 2500);
             insert into inbox (message_id, consumer) values (gen_random_uuid(), 'popularity');",
        )
        .await;
    shop.database
        .execute(
            "insert into sign_in_failures (counted_under, failures, until)
             select sha256(days::text::bytea), 1, now() + days * interval '1 day' from unnest(array[-1, 1]) days",
        )
        .await;
    let (_first, _second) = tokio::join!(shop.worker(&[BACKGROUND_TASKS]), shop.worker(&[BACKGROUND_TASKS]));
    let left = "select (select count(*) from sessions) || ' ' || (select count(*) from refresh_tokens) || ' '
                    || (select count(*) from idempotency_keys) || ' ' || (select count(*) from sign_in_failures) || ' '
                    || (select count(*) from inbox) || ' '
                    || (select count(*) from catalog_changes where at < now() - interval '20 minutes')";
    until_equal(
        "only current rows are left",
        "1 1 1 1 1 1".to_owned(),
        async || shop.database.text(left).await,
    )
    .await;
    shop.close().await;
}

#[tokio::test]
async fn a_failing_cleanup_task_does_not_stop_the_others_and_is_retried() {
    let shop = Shop::open().await;
    shop.reserve(1, "now() + interval '1 hour'").await;
    shop.database.execute(SESSIONS).await;
    shop.database
        .execute(
            "insert into refresh_tokens (token_hash, session_id, expires_at)
             select sha256(id::text::bytea), id, now() - interval '1 day' from sessions where expires_at > now();
             insert into idempotency_keys (owner, key, request_hash, expires_at, order_id)
             select sha256('a'), 'old', sha256('b'), now() - interval '1 day', id from orders;
             insert into inbox (message_id, consumer, done_at) values (gen_random_uuid(), 'popularity', now() - interval '40 days');
             insert into carts (id, token_hash, updated_at)
             values ('00000000-0000-7000-8000-000000000000', sha256('a'), now() - interval '40 days');
             create function refuse() returns trigger language plpgsql as $$ begin raise exception 'never'; end $$;
             create trigger refuse before delete on refresh_tokens for each row execute function refuse()",
        )
        .await;
    shop.database
        .execute(
            "insert into sign_in_failures (counted_under, failures, until)
             values (sha256('a'), 1, now() - interval '1 day')",
        )
        .await;
    let worker = shop.worker(&[BACKGROUND_TASKS]).await;
    let left =
        "select (select count(*) from sessions) || ' ' || (select count(*) from idempotency_keys) || ' '
                    || (select count(*) from sign_in_failures) || ' ' || (select count(*) from inbox) || ' '
                    || (select count(*) from carts)";
    until_equal(
        "all other tables are cleaned up",
        "1 0 0 0 0".to_owned(),
        async || shop.database.text(left).await,
    )
    .await;
    let failed = [r#"task="purge refresh_tokens""#];
    until("it fails repeatedly", async || {
        worker.counter("background_task_failures_total", &failed).await >= 3
    })
    .await;
    let (status, _) = worker.get("/readyz").await;
    assert_eq!(status, 200, "a failing cleanup doesn't make the worker unready");
    shop.database
        .execute("drop trigger refuse on refresh_tokens")
        .await;
    until_equal("the rows are deleted eventually", 0, async || {
        shop.database.number("select count(*) from refresh_tokens").await
    })
    .await;
    shop.close().await;
}
