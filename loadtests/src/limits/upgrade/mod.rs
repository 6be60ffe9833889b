//! The frozen shop, upgraded to the schema of this build while it sells: what `backstock-api migrate` makes others wait for,
//! and whether all is there afterwards.
//!
//! The traffic is that of the build before: its statements have to work before, during and after the upgrade, because its
//! processes run until they are replaced. Read next: `traffic.rs`, then `locks.rs`.

mod locks;
mod traffic;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use self::locks::Sampler;
use self::traffic::Traffic;
use super::LimitResult;
use crate::costs::LAB_MARK;
use crate::database::run_api;
use crate::frozen;

const MOST_MS: f64 = 1_000.0;

/// How long the traffic runs before the upgrade, and after it.
const AROUND: Duration = Duration::from_secs(2);

/// What is upgraded, and by what.
#[derive(Debug, Clone, Copy)]
pub struct UpgradePlan<'a> {
    /// The new build.
    pub api_binary: &'a Path,
    /// A database with frozen rows, which is this check's own.
    pub database_url: &'a str,
    /// `pgbench`.
    pub pgbench: &'a Path,
}

/// What an upgrade under traffic did.
#[derive(Debug, Clone)]
pub struct Upgraded {
    /// How long `backstock-api migrate` took.
    pub took: Duration,
    /// The longest that anyone waited for a lock, the migration itself excepted.
    pub longest_wait: Duration,
    /// The longest that the migration held a lock on a table that was there before, which keeps readers or writers out; and
    /// which.
    pub longest_hold: Duration,
    /// What was locked so.
    pub longest_held: String,
    /// Statements of the traffic.
    pub statements: u64,
    /// Orders that it placed.
    pub orders: i64,
    /// What failed of it: messages.
    pub failures: Vec<String>,
    /// What is not there any more, or is there twice.
    pub lost: Vec<String>,
}

impl Upgraded {
    /// The longest that a lock was waited for or held, in milliseconds.
    pub fn longest_ms(&self) -> f64 {
        self.longest_wait.max(self.longest_hold).as_secs_f64() * 1e3
    }
}

/// Upgrades it under traffic, as a limit.
pub async fn upgrade(plan: &UpgradePlan<'_>) -> Result<LimitResult> {
    let upgraded = upgrade_under_traffic(plan).await?;
    for what in upgraded.failures.iter().chain(&upgraded.lost) {
        eprintln!("upgrade: {what}");
    }
    let longest = upgraded.longest_ms();
    let met = longest <= MOST_MS && upgraded.failures.is_empty() && upgraded.lost.is_empty();
    let what = "the longest that a lock is waited for or held while `backstock-api migrate` upgrades the frozen shop under \
                traffic; no row lost, no statement of the former build failed"
        .to_owned();
    let mut result = LimitResult::new("upgrade", what, "at most 1 000 ms", longest, "ms", met);
    result.details = vec![
        ("took_s".to_owned(), upgraded.took.as_secs_f64()),
        ("waited_ms".to_owned(), upgraded.longest_wait.as_secs_f64() * 1e3),
        ("held_ms".to_owned(), upgraded.longest_hold.as_secs_f64() * 1e3),
        ("statements".to_owned(), upgraded.statements as f64),
        ("orders".to_owned(), upgraded.orders as f64),
        ("failed".to_owned(), upgraded.failures.len() as f64),
        ("lost".to_owned(), upgraded.lost.len() as f64),
    ];
    Ok(result)
}

/// Upgrades it under traffic.
pub async fn upgrade_under_traffic(plan: &UpgradePlan<'_>) -> Result<Upgraded> {
    let mut monitor = PgConnection::connect(plan.database_url).await?;
    let orders = frozen::order_pgbench(plan.pgbench, plan.database_url).await?;
    let before = Counts::read(&mut monitor).await?;
    let sampler = Sampler::start(plan.database_url).await?;
    let traffic = Traffic::start(plan.database_url, orders).await?;
    tokio::time::sleep(AROUND).await;

    let begun = Instant::now();
    let migrated = run_api(plan.api_binary, &["migrate".as_ref()], plan.database_url).await?;
    let took = begun.elapsed();
    ensure!(
        migrated.status.success(),
        "`backstock-api migrate` failed under traffic: {}",
        String::from_utf8_lossy(&migrated.stderr).trim()
    );
    tokio::time::sleep(AROUND).await;
    let traffic = traffic.stop().await?;
    let locks = sampler.stop().await?;
    let after = Counts::read(&mut monitor).await?;
    monitor.close().await?;
    Ok(Upgraded {
        took,
        longest_wait: locks.longest_wait,
        longest_hold: locks.longest_hold,
        longest_held: locks.longest_held,
        statements: traffic.statements,
        orders: after.new_orders - before.new_orders,
        failures: traffic.failures,
        lost: before.lost_since(&after),
    })
}

/// What the shop holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    /// By what they count: the same before and after.
    kept: Vec<(&'static str, i64)>,
    new_orders: i64,
    /// Lines of new orders, of one unit each.
    new_units: i64,
    stock: i64,
}

/// What no traffic changes.
const KEPT: [(&str, &str); 11] = [
    ("products", "select count(*) from products"),
    ("active products", "select count(*) from products where active"),
    ("sales counts", "select sum(sales_count)::bigint from products"),
    ("variants", "select count(*) from variants"),
    ("search documents", "select count(*) from product_search"),
    ("reviews", "select count(*) from reviews"),
    (
        "stars of reviews",
        "select sum(review_count * rating_hundredths::bigint)::bigint from products",
    ),
    ("customers", "select count(*) from customers"),
    (
        "orders",
        "select count(*) from orders where created_at < '2026-11-15'",
    ),
    (
        "order lines",
        "select count(*) from order_lines l join orders o on o.id = l.order_id where o.created_at < '2026-11-15'",
    ),
    (
        "order events",
        "select count(*) from order_events e join orders o on o.id = e.order_id where o.created_at < '2026-11-15'",
    ),
];

impl Counts {
    async fn read(monitor: &mut PgConnection) -> Result<Counts> {
        let mut kept = Vec::with_capacity(KEPT.len());
        for (what, sql) in KEPT {
            kept.push((what, number(monitor, sql).await?));
        }
        let new = "from orders o where created_at > '2026-11-15' and status = 'paid'";
        let units = format!(
            "select coalesce(sum(quantity), 0)::bigint from order_lines where order_id in (select id {new})"
        );
        Ok(Counts {
            kept,
            new_orders: number(monitor, &format!("select count(*) {new}")).await?,
            new_units: number(monitor, &units).await?,
            stock: number(monitor, "select sum(stock_quantity)::bigint from variants").await?,
        })
    }

    fn lost_since(&self, after: &Counts) -> Vec<String> {
        let kept = self.kept.iter().zip(&after.kept);
        let mut lost: Vec<String> = kept
            .filter(|(before, after)| before != after)
            .map(|((what, before), (_, after))| format!("{before} {what} were there, then {after}"))
            .collect();
        let sold = self.stock - after.stock;
        if sold != after.new_units - self.new_units {
            lost.push(format!(
                "{sold} units were taken from stock, {} are in paid orders",
                after.new_units - self.new_units
            ));
        }
        if after.new_units != after.new_orders {
            lost.push(format!(
                "{} new orders have {} lines",
                after.new_orders, after.new_units
            ));
        }
        lost
    }
}

async fn number(monitor: &mut PgConnection, sql: &str) -> Result<i64> {
    sqlx::query_scalar(AssertSqlSafe(format!("{sql} {LAB_MARK}")))
        .fetch_one(monitor)
        .await
        .with_context(|| format!("in `{sql}`"))
}
