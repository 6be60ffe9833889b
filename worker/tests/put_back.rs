//! One bad order among many: the others are settled and voided, and the bad one is put back for longer each time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::support::{Shop, until, until_equal};

const UPKEEP: (&str, &str) = ("BACKSTOCK_PARTS", "upkeep");

/// What a gateway answers about an order, or to a void of its payment.
type Answers = fn(&Gateway, Uuid) -> (&'static str, String);

/// A gateway that knows a payment of every order, named after it, and has its own mind about some.
struct Gateway {
    bad: Mutex<BTreeSet<Uuid>>,
    asked: Mutex<Vec<Uuid>>,
    answers: Answers,
}

impl Gateway {
    async fn start(answers: Answers) -> (Arc<Self>, String) {
        let gateway = Arc::new(Self {
            bad: Mutex::default(),
            asked: Mutex::default(),
            answers,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = gateway.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let _ = serving.answer(connection).await;
            }
        });
        (gateway, url)
    }

    async fn answer(&self, connection: TcpStream) -> std::io::Result<()> {
        let mut connection = BufReader::new(connection);
        let mut head = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await? <= 2 {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head += &line;
        }
        connection.read_exact(&mut vec![0; length]).await?;
        // The path ends with the order, as the key that is looked up or as the payment's name.
        let path = head.split(' ').nth(1).unwrap();
        let id = path.trim_end_matches("/void").rsplit(['=', '/']).next().unwrap();
        let order: Uuid = id.parse().unwrap();
        self.asked.lock().unwrap().push(order);
        let (status, body) = match self.bad.lock().unwrap().contains(&order) {
            true => (self.answers)(self, order),
            false => (
                "200 OK",
                payment(
                    order,
                    if path.ends_with("/void") {
                        "voided"
                    } else {
                        "authorized"
                    },
                ),
            ),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(answer.as_bytes()).await
    }

    fn is_bad(&self, order: Uuid) {
        self.bad.lock().unwrap().insert(order);
    }

    fn asked(&self, order: Uuid) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| **asked == order)
            .count()
    }
}

fn payment(order: Uuid, status: &str) -> String {
    format!(r#"{{"id":"{order}","status":"{status}"}}"#)
}

fn with_a_status_of_its_own(_: &Gateway, order: Uuid) -> (&'static str, String) {
    ("200 OK", payment(order, "refunded"))
}

fn with_a_refusal(_: &Gateway, _: Uuid) -> (&'static str, String) {
    ("410 Gone", String::new())
}

fn with_a_fault(_: &Gateway, _: Uuid) -> (&'static str, String) {
    ("500 Internal Server Error", String::new())
}

const ANSWERS: [Answers; 3] = [with_a_status_of_its_own, with_a_refusal, with_a_fault];

/// How often an order was put back, and whether its pause is longer than twice the claim's.
async fn put_back(shop: &Shop, order: Uuid) -> i64 {
    shop.database
        .number(&format!(
            "select put_back::bigint from orders where id = '{order}'"
        ))
        .await
}

#[tokio::test]
async fn one_payment_that_cannot_be_looked_up_keeps_no_other_order_waiting() {
    for answers in ANSWERS {
        let shop = Shop::open().await;
        let orders = shop.reserve(200, "now() - interval '1 second'").await;
        let (gateway, url) = Gateway::start(answers).await;
        let bad = orders[0].id;
        gateway.is_bad(bad);
        // The first of all, each time.
        shop.database
            .execute(&format!(
                "update orders set reserved_until = now() - interval '1 hour' where id = '{bad}'"
            ))
            .await;
        let changes = [
            UPKEEP,
            ("BACKSTOCK_PAYMENT_URL", &url),
            ("BACKSTOCK_SETTLE_AGAIN_MS", "60000"),
        ];
        let worker = shop.worker(&changes).await;
        until_equal(
            "the others are paid",
            "paid: 199, pending_payment: 1".to_owned(),
            async || shop.statuses().await,
        )
        .await;
        // Once each: no other was claimed for nothing. A fault is asked about three times at once.
        for order in &orders[1..] {
            assert_eq!(gateway.asked(order.id), 1);
        }
        until_equal("it is put back", 1, async || put_back(&shop, bad).await).await;
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
        until_equal("it is put back again", 2, async || put_back(&shop, bad).await).await;
        assert_eq!(pause().await, 4);
        shop.close().await;
    }
}

#[tokio::test]
async fn one_payment_that_cannot_be_voided_keeps_no_other_money_held() {
    for (number, answers) in ANSWERS.into_iter().enumerate() {
        let shop = Shop::open().await;
        let orders = shop.reserve(60, "now() + interval '1 hour'").await;
        let (gateway, url) = Gateway::start(answers).await;
        let bad = orders[0].id;
        gateway.is_bad(bad);
        shop.database
            .execute(&format!(
                "update orders set status = 'cancelled', payment_id = id::text,
                     updated_at = now() - case when id = '{bad}' then interval '3 hours' else interval '2 hours' end"
            ))
            .await;
        if number == 0 {
            // A void that succeeds says so by its HTTP status; only a look-up reads the payment's.
            shop.database
                .execute(&format!("update orders set payment_id = null where id = '{bad}'"))
                .await;
        }
        let changes = [
            UPKEEP,
            ("BACKSTOCK_PAYMENT_URL", &url),
            ("BACKSTOCK_SETTLE_AGAIN_MS", "60000"),
        ];
        let worker = shop.worker(&changes).await;
        let voided = "select count(*) from orders where payment_voided_at is not null";
        until_equal("the others are voided", 59, async || {
            shop.database.number(voided).await
        })
        .await;
        until_equal("it is put back", 1, async || put_back(&shop, bad).await).await;
        assert_eq!(worker.counter("upkeep_rows_total", &["void_put_back"]).await, 1);
        let is_later = format!(
            "select count(*) from orders where id = '{bad}' and updated_at > now() + interval '100 s'"
        );
        assert_eq!(shop.database.number(&is_later).await, 1);
        shop.close().await;
    }
}

/// Three that are bad, before all others of each batch, open the circuit breaker in one round, not in each.
#[tokio::test]
async fn a_round_that_ends_early_begins_with_others() {
    let shop = Shop::open().await;
    let orders = shop.reserve(30, "now() - interval '1 second'").await;
    let (gateway, url) = Gateway::start(with_a_fault).await;
    for order in &orders[..3] {
        gateway.is_bad(order.id);
        let id = order.id;
        shop.database
            .execute(&format!(
                "update orders set reserved_until = now() - interval '1 hour' where id = '{id}'"
            ))
            .await;
    }
    let worker = shop
        .worker(&[
            UPKEEP,
            ("BACKSTOCK_PAYMENT_URL", &url),
            ("BACKSTOCK_SETTLE_AGAIN_MS", "1000"),
        ])
        .await;
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
async fn one_order_whose_statement_fails_keeps_no_other_waiting() {
    let shop = Shop::open().await;
    let orders = shop.reserve(40, "now() - interval '1 second'").await;
    let bad = orders[0].id;
    // Whatever it is that only this order meets.
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
        .worker(&[UPKEEP, ("BACKSTOCK_SETTLE_AGAIN_MS", "60000")])
        .await;
    until_equal(
        "the others have failed",
        "payment_failed: 39, pending_payment: 1".to_owned(),
        async || shop.statuses().await,
    )
    .await;
    until_equal("it is put back", 1, async || put_back(&shop, bad).await).await;
    until("its reason is logged", async || {
        worker.log().contains("this order can not end")
    })
    .await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_ends_though_its_coupon_was_reset_and_its_stock_is_full() {
    let shop = Shop::open().await;
    shop.reserve(3, "now() - interval '1 second'").await;
    shop.database
        .execute("update coupons set uses = 1; update variants set stock_quantity = 2147483647 where sku = 'SKU-1'")
        .await;
    let _worker = shop
        .worker(&[UPKEEP, ("BACKSTOCK_SETTLE_AGAIN_MS", "60000")])
        .await;
    until_equal("all have failed", "payment_failed: 3".to_owned(), async || {
        shop.statuses().await
    })
    .await;
    let held = "select uses || ' ' || (select string_agg(stock_quantity::text, ',' order by sku) from variants) from coupons";
    assert_eq!(shop.database.text(held).await, "0 2147483647,1000,1000,1000");
    shop.close().await;
}
