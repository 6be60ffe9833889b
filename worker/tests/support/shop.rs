//! A shop with a few products: a database, a virtual host and third parties. Orders are inserted as the api
//! leaves them.

use serde_json::json;
use shop::messages::{Consumer, Event};
use uuid::Uuid;

use super::broker::TestBroker;
use super::database::TestDatabase;
use super::simulators::Simulators;
use super::worker::{self, CommandOutput, RETRY_DELAYS_MS, Worker};

const PRODUCTS: &str = "
    insert into categories (id, slug, name) values ('00000000-0000-0000-0000-0000000000c1', 'home', 'Home');
    insert into brands (id, slug, name) values ('00000000-0000-0000-0000-0000000000b1', 'nordlys', 'Nordlys');
    insert into products (id, brand_id, category_id, slug, title)
    select ('00000000-0000-0000-0000-00000000000' || n)::uuid, '00000000-0000-0000-0000-0000000000b1',
           '00000000-0000-0000-0000-0000000000c1', 'product-' || n, 'Product ' || n
    from generate_series(1, 4) n;
    insert into variants (id, product_id, price_cents, stock_quantity, sku, title)
    select ('00000000-0000-0000-0001-00000000000' || n)::uuid, ('00000000-0000-0000-0000-00000000000' || n)::uuid,
           1000, 1000, 'SKU-' || n, 'Red'
    from generate_series(1, 4) n;
    insert into coupons (code, percent, valid_until, uses, max_uses) values ('SPRING', 10, now() + interval '1 day', 0, 100000);
";

pub struct Shop {
    pub database: TestDatabase,
    pub broker: TestBroker,
    pub simulators: Simulators,
}

/// An order, with the id of its message.
pub struct Order {
    pub id: Uuid,
    pub message_id: Uuid,
}

impl Order {
    pub fn new() -> Self {
        Self {
            id: Uuid::now_v7(),
            message_id: Uuid::now_v7(),
        }
    }

    pub fn email(&self) -> String {
        format!("{}@example.org", self.id.simple())
    }
}

impl Shop {
    pub async fn open() -> Self {
        let (database, broker, simulators) =
            tokio::join!(TestDatabase::new(), TestBroker::new(), Simulators::start());
        database.execute(PRODUCTS).await;
        Self {
            database,
            broker,
            simulators,
        }
    }

    /// The settings of a worker of this shop. Later entries override earlier ones.
    pub fn settings(&self, changes: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let delays = RETRY_DELAYS_MS.map(|delay| delay.to_string()).join(",");
        let mut settings: Vec<(&'static str, String)> = vec![
            ("BACKSTOCK_DATABASE_URL", self.database.url.clone()),
            ("BACKSTOCK_DATABASE_CONNECTIONS", "4".to_owned()),
            ("BACKSTOCK_AMQP_URL", self.broker.host.url()),
            ("BACKSTOCK_PAYMENT_URL", self.simulators.payment.clone()),
            ("BACKSTOCK_CARRIER_URL", self.simulators.carrier.clone()),
            ("BACKSTOCK_SMTP_URL", self.simulators.smtp.clone()),
            ("BACKSTOCK_INTERNAL_LISTEN", "127.0.0.1:0".to_owned()),
            ("BACKSTOCK_LOG_FORMAT", "json".to_owned()),
            ("BACKSTOCK_RETRY_DELAYS_MS", delays),
            ("BACKSTOCK_SMTP_TIMEOUT_MS", "2000".to_owned()),
            ("BACKSTOCK_EMAIL_CLAIM_MS", "4000".to_owned()),
            // The broker may be slow on a busy machine, and republished events would be counted twice.
            ("BACKSTOCK_CONFIRM_TIMEOUT_MS", "30000".to_owned()),
            ("BACKSTOCK_SETTLE_INTERVAL_MS", "20".to_owned()),
            ("BACKSTOCK_SETTLE_AGAIN_MS", "500".to_owned()),
            ("BACKSTOCK_PURGE_INTERVAL_MS", "20".to_owned()),
            ("BACKSTOCK_SALES_REFRESH_INTERVAL_MS", "20".to_owned()),
            #[cfg(feature = "baselines")]
            ("BACKSTOCK_VARIANTS", super::arms::selection().to_string()),
        ];
        settings.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        settings
    }

    pub async fn worker(&self, changes: &[(&'static str, &str)]) -> Worker {
        Worker::start(&self.settings(changes)).await
    }

    /// Runs `backstock-worker dead-letters …`, which needs only the broker.
    pub async fn dead_letters(&self, arguments: &[&str]) -> CommandOutput {
        let settings = [("BACKSTOCK_AMQP_URL", self.broker.host.url())];
        worker::run(&[&["dead-letters"], arguments].concat(), &settings).await
    }

    /// Creates orders of two lines, 1 × product 1 and 2 × product 2, that wait for their payment: stock and a
    /// coupon use are reserved.
    pub async fn reserve(&self, orders: usize, reserved_until: &str) -> Vec<Order> {
        let orders: Vec<Order> = (0..orders).map(|_| Order::new()).collect();
        let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
        let address = json!({ "name": "Ada Lovelace", "line1": "1 Analytical Way", "line2": null, "city": "Bonn",
                              "postal_code": "53111", "region": null, "country": "DE" });
        let mut transaction = self.database.pool.begin().await.unwrap();
        let sql = format!(
            "insert into orders (id, cart_id, reserved_until, subtotal_cents, discount_cents, shipping_cents, total_cents,
                                 currency, shipping_method, email, coupon_code, shipping_address)
             select id, id, {reserved_until}, 3000, 300, 495, 3195, 'EUR', 'standard',
                    replace(id::text, '-', '') || '@example.org', 'SPRING', $2
             from unnest($1::uuid[]) id"
        );
        let insert = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&ids).bind(&address);
        insert.execute(&mut *transaction).await.unwrap();
        for sql in [
            "insert into order_lines (order_id, position, variant_id, product_id, quantity, unit_price_cents, sku, title,
                                      variant_title)
             select id, n - 1, ('00000000-0000-0000-0001-00000000000' || n)::uuid,
                    ('00000000-0000-0000-0000-00000000000' || n)::uuid, n, 1000, 'SKU-' || n, 'Product ' || n, 'Red'
             from unnest($1::uuid[]) id, generate_series(1, 2) n",
            "update variants set stock_quantity = stock_quantity - position_in_order * cardinality($1::uuid[])
             from (values ('SKU-1', 1), ('SKU-2', 2)) line (sku, position_in_order)
             where variants.sku = line.sku",
            "update coupons set uses = uses + cardinality($1::uuid[])",
        ] {
            sqlx::query(sql).bind(&ids).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
        orders
    }

    /// Authorizes orders at the gateway and marks them as paid, without an event.
    pub async fn pay(&self, orders: &[Order]) {
        for order in orders {
            let payment = self.simulators.authorize(order.id, 3195, "tok_ok").await.unwrap();
            let paid = "with paid as (update orders set status = 'paid', payment_id = $2 where id = $1)
                        insert into order_events (order_id, id, event) values ($1, $3, 'paid')";
            sqlx::query(paid)
                .bind(order.id)
                .bind(payment)
                .bind(Uuid::now_v7())
                .execute(&self.database.pool)
                .await
                .unwrap();
        }
    }

    /// Adds `order.paid` events to the outbox.
    pub async fn enqueue_paid(&self, orders: &[Order]) {
        for order in orders {
            self.enqueue(order.message_id, Event::OrderPaid { order_id: order.id })
                .await;
        }
    }

    /// Adds an event to the outbox.
    pub async fn enqueue(&self, message_id: Uuid, event: Event) {
        sqlx::query("insert into outbox (message_id, event, body, trace_context) values ($1, $2, $3, $4)")
            .bind(message_id)
            .bind(event.name())
            .bind(event.body())
            .bind(TRACE)
            .execute(&self.database.pool)
            .await
            .unwrap();
    }

    /// Creates paid orders whose events are in the outbox.
    pub async fn paid_orders(&self, orders: usize) -> Vec<Order> {
        let orders = self.reserve(orders, "now() + interval '1 hour'").await;
        self.pay(&orders).await;
        self.enqueue_paid(&orders).await;
        orders
    }

    /// The units sold of each product, including those that are not in the ranking yet.
    pub async fn sold(&self) -> String {
        let sold = "select string_agg((sales_count + coalesce(sold, 0))::text, ',' order by slug)
                    from products left join product_sales on product_id = id";
        self.database.text(sold).await
    }

    /// `status: number` of all orders.
    pub async fn statuses(&self) -> String {
        self.database
            .text("select string_agg(status || ': ' || n, ', ' order by status) from (select status, count(*) n from orders group by status) s")
            .await
    }

    pub async fn until_all_fulfilled(&self, orders: usize) {
        super::until_equal(
            "all orders are fulfilled",
            format!("fulfilled: {orders}"),
            async || self.statuses().await,
        )
        .await;
    }

    /// Waits until each consumer of paid orders has handled each order.
    pub async fn until_all_handled(&self, orders: usize) {
        self.until_all_fulfilled(orders).await;
        let consumers = Consumer::ALL
            .iter()
            .filter(|consumer| consumer.event() == "order.paid");
        let messages = consumers.count() * orders;
        let done = "select count(*) from inbox where done_at is not null";
        super::until_equal("all messages are in the inbox", messages as i64, async || {
            self.database.number(done).await
        })
        .await;
    }

    /// Asserts that all work for this number of paid orders was done exactly once, with nothing left over.
    /// The caller counts emails, because some tests allow duplicates.
    pub async fn assert_handled_once(&self, orders: usize) {
        let orders = orders as i64;
        let number = async |sql: &str| self.database.number(sql).await;
        assert_eq!(self.statuses().await, format!("fulfilled: {orders}"));
        for event in ["confirmation_sent", "label_created", "fulfilled"] {
            let times = format!("select count(*) from order_events where event = '{event}'");
            assert_eq!(number(&times).await, orders, "{event}");
        }
        assert_eq!(number("select count(*) from shipments").await, orders);
        assert_eq!(self.sold().await, format!("{orders},{},0,0", 2 * orders));
        assert_eq!(number("select count(*) from outbox").await, 0);
        let payments = self.simulators.payments().await;
        assert_eq!(
            (payments["captured"].as_i64(), payments["doubled"].as_i64()),
            (Some(orders), Some(0)),
            "{payments}"
        );
        let labels = self.simulators.labels().await;
        assert_eq!(
            (labels["labels"].as_i64(), labels["doubled"].as_i64()),
            (Some(orders), Some(0)),
            "{labels}"
        );
        for consumer in Consumer::ALL {
            assert_eq!(
                self.broker.ready_messages(&consumer.dead_letter_queue()).await,
                Some(0)
            );
        }
    }

    pub async fn close(self) {
        self.database.drop().await;
    }
}

/// The trace context of the tests' events.
pub const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
