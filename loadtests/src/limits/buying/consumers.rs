//! How fast the worker does what follows orders, when nobody makes it wait.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::expect_right_books;
use crate::limits::LimitResult;
use crate::load::closed_loop;
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town};

const LEAST_PER_S: f64 = 300.0;

/// Orders that wait: some seconds of work.
const ORDERS: u64 = 4_000;

const VARIANTS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(120);

/// Orders a second through mail, label with capture, and popularity: from the start of a worker with all its parts to the
/// last order's end, the relay included.
pub(super) async fn consumer_rate(town: &mut Town) -> Result<LimitResult> {
    town.set_delays(&ThirdParties::AT_ONCE).await?;
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 2, PLENTY).await?;
    let mut carts = Carts::of(goods.clone());
    let mut paid = 0;
    while paid < ORDERS {
        let requests = carts.orders(&mut town.monitor, 4_000).await?;
        let outcome = closed_loop(&town.shop().target(), &requests, 8, Duration::from_secs(1), paid).await?;
        ensure!(outcome.errors.total() == 0, "orders failed: {:?}", outcome.errors);
        paid += outcome.completed;
    }
    let mails_before = town.simulators.mails().await?;
    let begun = Instant::now();
    town.start_worker("relay,consumers").await?;
    let left = town.drain(PATIENCE).await?;
    let rate = paid as f64 / begun.elapsed().as_secs_f64();
    ensure!(
        left == 0,
        "{left} of {paid} orders were not done within {PATIENCE:?}"
    );
    let mails = town.simulators.mails().await? - mails_before;
    ensure!(mails == paid, "{paid} orders sent {mails} mails");
    expect_right_books(town, &goods, PLENTY).await?;
    let what =
        format!("of {paid} paid orders that waited, through all steps of a worker, third parties at once");
    let met = rate >= LEAST_PER_S;
    Ok(LimitResult::new(
        "consumers",
        what,
        "at least 300/s",
        rate,
        "/s",
        met,
    ))
}
