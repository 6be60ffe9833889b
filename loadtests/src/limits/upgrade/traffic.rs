//! What the former build's processes do meanwhile: browse, sell, sign in, and publish; and a report that reads for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;

use crate::limits::Pgbench;

/// Between two rounds of a visitor.
const PAUSE: Duration = Duration::from_millis(10);

/// Orders are placed in runs of so long, over so many connections.
const RUN: Duration = Duration::from_secs(1);
const BUYERS: usize = 2;

/// How long the report reads, and how long until the next.
const READS: Duration = Duration::from_millis(1_500);
const RESTS: Duration = Duration::from_millis(2_500);

/// As the former build sent them. Each names its columns, so that new ones change nothing for it.
const VISITS: [&[&str]; 3] = [
    &[
        "select p.id, p.slug, p.title, p.price_cents, p.in_stock, b.name, c.name from products p
         join brands b on b.id = p.brand_id join categories c on c.id = p.category_id
         where p.active order by p.created_at desc, p.id desc limit 20",
        "select id, slug, title, price_cents from products where active order by sales_count desc, id desc limit 20",
        "select id, title from products where active and category_id = (select id from categories where slug = 'category-80')
         order by price_cents, id limit 20",
        "select p.id, p.title from product_search s join products p on p.id = s.product_id
         where s.document @@ to_tsquery('english', 'walnut & lamp') and p.active order by p.created_at desc, p.id desc limit 20",
        "select id, title, description, attributes, rating_hundredths, review_count from products where slug = 'product-7'",
        "select v.id, v.sku, v.price_cents, v.stock_quantity from variants v join products p on p.id = v.product_id
         where p.slug = 'product-7' order by v.position, v.id",
        "select r.id, r.rating, r.title, r.body from reviews r join products p on p.id = r.product_id
         where p.slug = 'product-7' order by r.created_at desc, r.id desc limit 20",
        "select epoch, stock_epoch from catalog_epoch",
    ],
    &[
        "select id, password_hash, role from customers where email = 'customer7@example.com'",
        "insert into sessions (id, customer_id, expires_at)
         select gen_random_uuid(), id, now() + interval '30 days' from customers where email = 'customer7@example.com'",
        "insert into refresh_tokens (token_hash, session_id, expires_at)
         select sha256(gen_random_uuid()::text::bytea), id, now() + interval '30 days' from sessions limit 1",
        "with cart as (insert into carts (id, token_hash) values (gen_random_uuid(), sha256('cart')) returning id)
         insert into cart_items (cart_id, variant_id, quantity)
         select cart.id, v.id, 1 from cart cross join (select id from variants where sku = 'SKU-7-0') v",
        "select o.id, o.number, o.status, o.total_cents, l.title, l.quantity from orders o
         join order_lines l on l.order_id = o.id join customers c on c.id = o.customer_id
         where c.email = 'customer7@example.com' order by o.id desc limit 20",
    ],
    &[
        "delete from outbox where id in (select id from outbox order by id limit 100 for update skip locked)",
        "with message as (select gen_random_uuid() as id)
         insert into inbox (message_id, consumer) select id, 'confirmation_email' from message",
        "select id from orders where status = 'pending_payment' and reserved_until < now() order by reserved_until limit 100",
        "delete from idempotency_keys where (owner, key) in
         (select owner, key from idempotency_keys where expires_at < now() - interval '1 year' limit 100)",
    ],
];

/// A report, or a backup: it reads for long, and so holds locks that a schema change has to wait for.
const REPORT: [&str; 8] = [
    "begin",
    "select count(*) from products where id is null",
    "select count(*) from variants where id is null",
    "select count(*) from orders where id is null",
    "select count(*) from order_lines where order_id is null",
    "select count(*) from customers where id is null",
    "select count(*) from outbox",
    "select epoch from catalog_epoch",
];

/// What came of the traffic.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) statements: u64,
    pub(super) failures: Vec<String>,
}

/// Traffic until it is stopped.
#[derive(Debug)]
pub(super) struct Traffic {
    is_over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Done>>,
}

impl Traffic {
    pub(super) async fn start(database_url: &str, orders: Pgbench) -> Result<Traffic> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for statements in VISITS {
            let connection = PgConnection::connect(database_url).await?;
            tasks.push(tokio::spawn(visit(connection, statements, Arc::clone(&is_over))));
        }
        let connection = PgConnection::connect(database_url).await?;
        tasks.push(tokio::spawn(report(connection, Arc::clone(&is_over))));
        tasks.push(tokio::spawn(buy(orders, Arc::clone(&is_over))));
        Ok(Traffic { is_over, tasks })
    }

    /// Ends it, and waits for what is under way.
    pub(super) async fn stop(self) -> Result<Done> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Done::default();
        for task in self.tasks {
            let done = task.await.context("the traffic has failed")?;
            all.statements += done.statements;
            all.failures.extend(done.failures);
        }
        Ok(all)
    }
}

async fn visit(mut connection: PgConnection, statements: &[&'static str], is_over: Arc<AtomicBool>) -> Done {
    let mut done = Done::default();
    while !is_over.load(Ordering::Relaxed) {
        for statement in statements {
            // Prepared, as the api's statements are: a schema change finds them in the middle of their lives.
            done.note(
                statement,
                sqlx::query(*statement).execute(&mut connection).await.err(),
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
    done
}

async fn report(mut connection: PgConnection, is_over: Arc<AtomicBool>) -> Done {
    let mut done = Done::default();
    while !is_over.load(Ordering::Relaxed) {
        for statement in REPORT {
            done.note(
                statement,
                sqlx::raw_sql(statement).execute(&mut connection).await.err(),
            );
        }
        tokio::time::sleep(READS).await;
        done.note(
            "commit",
            sqlx::raw_sql("commit").execute(&mut connection).await.err(),
        );
        tokio::time::sleep(RESTS).await;
    }
    done
}

async fn buy(orders: Pgbench, is_over: Arc<AtomicBool>) -> Done {
    let mut done = Done::default();
    while !is_over.load(Ordering::Relaxed) {
        // It fails when a single statement does.
        match orders.run(BUYERS, RUN).await {
            Ok(rate) => done.statements += (rate * RUN.as_secs_f64()) as u64,
            Err(error) => done.failures.push(format!("an order: {error:#}")),
        }
    }
    done
}

impl Done {
    fn note(&mut self, statement: &str, error: Option<sqlx::Error>) {
        self.statements += 1;
        if let Some(error) = error {
            let first_line = statement.lines().next().unwrap_or_default();
            self.failures.push(format!("`{first_line}`: {error}"));
        }
    }
}
