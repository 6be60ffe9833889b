//! What must hold when everything is over: nothing lost, nothing twice, nothing left, and the books add up.

use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use loadtests::trials::{Carts, Goods, Town};
use shop::messages::Consumer;
use sqlx::{AssertSqlSafe, PgConnection};

use super::ground::totals;

/// How long a worker may take for all of it.
const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks at what is waited for.
const POLL: Duration = Duration::from_millis(20);

/// Different goods, each of so many units at first.
const VARIANTS: usize = 4;
const UNITS: i32 = 10_000;

/// What lies in every cart.
const COUPON: &str = "FAULTS";

/// A town's goods, and how they stood at first.
pub struct Market {
    pub carts: Carts,
    sales_at_first: i64,
}

/// What a fault may leave behind, beyond what is right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Exactly so many payments that no order knows of: money that stays held.
    pub forgotten_payments: i64,
}

impl Market {
    /// Goods in plenty, in carts of two lines with a coupon.
    pub async fn open(town: &mut Town) -> Self {
        let goods = Goods::choose(&mut town.monitor, VARIANTS, 2, UNITS)
            .await
            .unwrap();
        let coupon = format!(
            "insert into coupons (code, percent, valid_until, uses, max_uses) \
             values ('{COUPON}', 10, now() + interval '1 day', 0, 100000); \
             alter table carts alter coupon_code set default '{COUPON}'"
        );
        sqlx::raw_sql(AssertSqlSafe(coupon))
            .execute(&mut town.monitor)
            .await
            .unwrap();
        let sales_at_first = number(&mut town.monitor, SALES).await;
        Self {
            carts: Carts::of(goods),
            sales_at_first,
        }
    }

    /// Lets the worker do what is left to do, and looks whether it all adds up. How many orders are paid.
    pub async fn assert_adds_up(&self, town: &mut Town, allowed: Allowed) -> i64 {
        let since = town.since;
        let ours = format!("id > '{since}'");
        let left = town.drain(PATIENCE).await.unwrap();
        let states = format!("select string_agg(distinct status, ' ') from orders where {ours}");
        let states = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(states));
        let states = states
            .fetch_one(&mut town.monitor)
            .await
            .unwrap()
            .unwrap_or_default();
        assert_eq!(
            left, 0,
            "orders or events are left over; there are orders that are {states}"
        );
        let fulfilled = format!("select count(*) from orders where {ours} and status = 'fulfilled'");
        let fulfilled = number(&mut town.monitor, &fulfilled).await;
        let noted =
            format!("select count(*) from inbox where done_at is not null and message_id > '{since}'");
        until(&mut town.monitor, &noted, 3 * fulfilled).await;

        self.assert_rows_add_up(town, fulfilled).await;
        let books = town.books(self.carts.goods()).await.unwrap();
        assert_eq!(books.violated(), None, "{books:?}");
        assert_eq!(
            (books.paid, books.units_paid, books.units_held),
            (fulfilled, 2 * fulfilled, 0)
        );
        assert_eq!(
            books.miscounted(i64::from(UNITS) * VARIANTS as i64),
            0,
            "what is sold and what is left are what there was: {books:?}"
        );
        self.assert_money_adds_up(town, fulfilled, allowed).await;
        assert_told_once(town, fulfilled).await;
        assert_no_dead_letters(&town.amqp_url).await;
        fulfilled
    }

    async fn assert_rows_add_up(&self, town: &mut Town, fulfilled: i64) {
        let since = town.since;
        let ours = format!("id > '{since}'");
        for (what, sql, expected) in [
            (
                "orders that are neither fulfilled nor failed",
                format!(
                    "select count(*) from orders where {ours} and status not in ('fulfilled', 'payment_failed')"
                ),
                0,
            ),
            (
                "failed orders that still hold their cart",
                format!(
                    "select count(*) from orders where {ours} and status = 'payment_failed' and cart_id is not null"
                ),
                0,
            ),
            (
                "messages for which somebody still works",
                "select count(*) from inbox where done_at is null".to_owned(),
                0,
            ),
            ("rows of the outbox", "select count(*) from outbox".to_owned(), 0),
            (
                "confirmed, labelled and fulfilled, once each",
                ONCE_EACH.replace("SINCE", &since.to_string()),
                3 * fulfilled,
            ),
            (
                "parcels",
                format!("select count(*) from shipments where order_id > '{since}'"),
                fulfilled,
            ),
            (
                "uses of the coupon",
                format!("select uses from coupons where code = '{COUPON}'"),
                fulfilled,
            ),
            (
                "units that count as sold",
                SALES.to_owned(),
                self.sales_at_first + 2 * fulfilled,
            ),
        ] {
            assert_eq!(number(&mut town.monitor, &sql).await, expected, "{what}");
        }
    }

    /// Every order's money was taken once, and nobody else's is held.
    async fn assert_money_adds_up(&self, town: &mut Town, fulfilled: i64, allowed: Allowed) {
        let payments = totals(&town.simulators, "BACKSTOCK_PAYMENT_URL").await;
        let count = |status: &str| payments[status].as_i64().unwrap();
        assert_eq!(
            (count("captured"), count("authorized"), count("doubled")),
            (fulfilled, allowed.forgotten_payments, 0),
            "{payments}"
        );
        let earned = format!(
            "select coalesce(sum(total_cents), 0) from orders where id > '{}' and status = 'fulfilled'",
            town.since
        );
        let taken: i64 = payments["amounts"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(|by_status| by_status["captured"].as_i64())
            .sum();
        assert_eq!(taken, number(&mut town.monitor, &earned).await, "{payments}");
    }
}

/// Units sold, as the shop's popularity has it.
const SALES: &str =
    "select (select sum(sales_count) from products) + coalesce((select sum(sold) from product_sales), 0)";

/// Steps of an order's way that its timeline has exactly once.
const ONCE_EACH: &str = "select count(*) from (select from order_events where order_id > 'SINCE' \
     and event in ('confirmation_sent', 'label_created', 'fulfilled') group by order_id, event having count(*) = 1) once";

/// The one whole number that a query returns.
async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select ({sql})::bigint")))
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn until(connection: &mut PgConnection, sql: &str, expected: i64) {
    let begun = Instant::now();
    loop {
        let seen = number(connection, sql).await;
        if seen == expected {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "waited in vain for {expected}, saw {seen}: {sql}"
        );
        // Between two looks: the loop waits for the event, and fails without it.
        tokio::time::sleep(POLL).await;
    }
}

/// The carrier and the mail server: a label and an email an order.
async fn assert_told_once(town: &Town, fulfilled: i64) {
    let labels = totals(&town.simulators, "BACKSTOCK_CARRIER_URL").await;
    assert_eq!(
        (labels["labels"].as_i64(), labels["doubled"].as_i64()),
        (Some(fulfilled), Some(0)),
        "{labels}"
    );
    let emails = i64::try_from(town.simulators.mails().await.unwrap()).unwrap();
    assert_eq!(emails, fulfilled, "an email for each order");
}

async fn assert_no_dead_letters(amqp_url: &str) {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    for consumer in Consumer::ALL {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare(
                consumer.dead_letter_queue().into(),
                passive,
                FieldTable::default(),
            )
            .await
            .unwrap();
        assert_eq!(queue.message_count(), 0, "{}", consumer.dead_letter_queue());
    }
}
