//! A hot SKU under contention: what its buyers do to each other, and to the visitors of the rest of the shop.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::cpu_by_process::{CpuMeter, without_lab};
use super::expect_right_books;
use super::pages::{Pages, VISITORS, p99_by_page};
use super::server_log::LockTimeouts;
use crate::limits::LimitResult;
use crate::load::{Outcome, closed_loop, open_loop};
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town};

/// A deadlock is found so soon, where the default of a second would hide those that dissolve by chance.
pub(super) const DATABASE_SETTINGS: [(&str, &str); 1] = [("deadlock_timeout", "50ms")];

const BUYERS: usize = 64;
const VARIANTS: usize = 256;

/// Requests a second of other visitors.
pub(super) const OTHERS_PER_S: f64 = 200.0;
pub(super) const OTHERS_CONNECTIONS: usize = 64;
const MOST_MS: f64 = 100.0;

/// More orders a second than two cores place.
const MOST_PER_S: f64 = 1_500.0;

const PATIENCE: Duration = Duration::from_secs(180);

/// 64 connections order two lines each, one of them the same SKU, while the worker works and others go about the shop.
pub(super) async fn hot_sale(
    town: &mut Town,
    server_log: Option<&Path>,
    lasts: Duration,
) -> Result<LimitResult> {
    town.set_delays(&ThirdParties::AT_ONCE).await?;
    town.start_worker("relay,consumers,upkeep").await?;
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 2, PLENTY).await?;
    let mut carts = Carts::with_common(goods.clone());
    let count = (MOST_PER_S * lasts.as_secs_f64()) as usize;
    let orders = carts.orders(&mut town.monitor, count).await?;
    let mut pages = Pages::new(town, Carts::of(goods.clone())).await?;
    let count = (OTHERS_PER_S * lasts.as_secs_f64() * 1.2) as usize + 100;
    let others = pages.requests(town, &VISITORS, count).await?;
    let target = town.shop().target();
    let deadlocks_before = town.books(&goods).await?.deadlocks;
    let timeouts = LockTimeouts::since_now(server_log)?;
    let cpu = CpuMeter::of(town);
    let before = cpu.read()?;

    let (sale, others) = tokio::try_join!(
        closed_loop(&target, &orders, BUYERS, lasts, 0),
        open_loop(&target, &others, OTHERS_PER_S, lasts, OTHERS_CONNECTIONS, 2),
    )?;
    let cpu = cpu.read()?.per_order_since(&before, sale.completed.max(1));
    ensure!(sale.completed < orders.len() as u64, "there were too few carts");
    // What the worker still has to do must do no harm, either.
    let left = town.drain(PATIENCE).await?;
    ensure!(
        left == 0,
        "{left} orders of the sale were not done within {PATIENCE:?}"
    );
    expect_right_books(town, &goods, PLENTY).await?;
    let books = town.books(&goods).await?;
    // Postgres publishes its counts when a session has been idle for a moment; the drain was that.
    let deadlocks = books.deadlocks - deadlocks_before;
    let lock_timeouts = timeouts.count()?;

    let p99 = others_p99_ms(&others);
    let refused = sale.errors.status_5xx() + others.errors.status_5xx();
    let broken = unanswered(&sale) + unanswered(&others);
    let exact = books.paid as u64 == sale.completed;
    let met =
        deadlocks == 0 && lock_timeouts.unwrap_or(0) == 0 && refused + broken == 0 && exact && p99 <= MOST_MS;
    let what = format!(
        "p99 of {OTHERS_PER_S:.0} other requests/s while {BUYERS} connections order two lines with one SKU in common, worker \
         running, deadlock_timeout 50 ms"
    );
    let target = "at most 100 ms; sold exactly, 0 deadlocks, 0 lock timeouts, 0 × 5xx";
    let mut result = LimitResult::new("hot_sale", what, target, p99, "ms", met);
    result.details = vec![
        ("orders_per_s".to_owned(), sale.throughput()),
        ("orders".to_owned(), sale.completed as f64),
        ("paid".to_owned(), books.paid as f64),
        ("deadlocks".to_owned(), deadlocks as f64),
        ("sale_5xx".to_owned(), sale.errors.status_5xx() as f64),
        ("sale_4xx".to_owned(), sale.errors.status_4xx() as f64),
        ("others_5xx".to_owned(), others.errors.status_5xx() as f64),
        ("others_4xx".to_owned(), others.errors.status_4xx() as f64),
        ("unanswered".to_owned(), broken as f64),
        ("others_rps".to_owned(), others.throughput()),
        ("others_p50_ms".to_owned(), others.p50_ms().unwrap_or_default()),
        ("sale_p50_ms".to_owned(), sale.p50_ms().unwrap_or_default()),
    ];
    result.details.extend(p99_by_page(&others));
    // Of sale and visitors together.
    result.details.extend(without_lab(cpu));
    if let Some(lock_timeouts) = lock_timeouts {
        result
            .details
            .push(("lock_timeouts".to_owned(), lock_timeouts as f64));
    }
    Ok(result)
}

/// Whatever the number of samples: it is held against a target, and not compared with another.
pub(super) fn others_p99_ms(outcome: &Outcome) -> f64 {
    outcome.total.value_at_quantile(0.99) as f64 / 1e6
}

/// Requests without any answer.
pub(super) fn unanswered(outcome: &Outcome) -> u64 {
    outcome.errors.connect + outcome.errors.timeout + outcome.errors.broken + outcome.dropped
}
