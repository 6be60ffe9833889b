//! How fast a worker does what follows orders: mail, label with capture, and the count of sales.
//!
//! The lab counts at the simulators, where counting costs the shop nothing. Postgres is asked once everything has arrived there, api and
//! worker reach the broker directly, and the clock starts when the worker is ready.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::cpu_by_process::{CpuMeter, LAB};
use super::expect_right_books;
use crate::limits::LimitResult;
use crate::load::closed_loop;
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town};

const VARIANTS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(180);

/// How often the simulators are asked what has arrived.
const POLL: Duration = Duration::from_millis(100);

/// The share of all CPU time that the lab may take.
const MOST_MEASURING: f64 = 0.02;

/// The clients that place the orders, which isn't measured.
const CLIENTS: usize = 16;

/// What a run is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) third_parties: ThirdParties,
    pub(super) in_words: &'static str,
    pub(super) least_per_s: f64,
    /// Orders that wait: some seconds of work.
    pub(super) orders: u64,
}

/// Third parties answer at once: what is measured is the shop's own work.
pub(super) const AT_ONCE: Plan = Plan {
    name: "consumers",
    third_parties: ThirdParties::AT_ONCE,
    in_words: "third parties at once",
    least_per_s: 650.0,
    orders: 8_000,
};

/// As third parties on the internet answer: what is measured is whether enough is in flight.
pub(super) const USUAL: Plan = Plan {
    name: "consumers_usual_latencies",
    third_parties: ThirdParties::USUAL,
    in_words: "payment 120 / 400 ms, carrier 150 / 500, mail 30 / 150 (median / p99)",
    least_per_s: 300.0,
    orders: 6_000,
};

/// Orders a second through all steps of one worker, and the CPU time of each process an order.
pub(super) async fn consumer_rate(town: &mut Town, plan: Plan) -> Result<LimitResult> {
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 2, PLENTY).await?;
    let paid = place_orders(town, &goods, plan.orders).await?;
    town.set_delays(&plan.third_parties).await?;
    let mails_before = town.simulators.mails().await?;
    town.start_worker("relay,consumers").await?;

    // Steps of one order are done at different times: a later start would leave out what is done of all orders by then.
    let cpu = CpuMeter::of(town);
    let before = cpu.read()?;
    wait_for(town, mails_before, paid).await?;
    // The last ones' labels and counts, by Postgres, which was not asked before.
    let left = town.drain(PATIENCE).await?;
    let after = cpu.read()?;
    ensure!(
        left == 0,
        "{left} of {paid} orders were not done within {PATIENCE:?}"
    );

    let mails = town.simulators.mails().await? - mails_before;
    ensure!(mails == paid, "{paid} orders sent {mails} mails");
    let captured = town.simulators.captured().await?;
    ensure!(
        captured >= paid,
        "{paid} orders, but only {captured} payments were captured"
    );
    expect_right_books(town, &goods, PLENTY).await?;

    let rate = paid as f64 / (after.at - before.at).as_secs_f64();
    let spent = after.per_order_since(&before, paid);
    let all: f64 = spent.iter().map(|(_, microseconds)| microseconds).sum();
    let measuring = spent
        .iter()
        .find(|(name, _)| name == LAB)
        .map_or(0.0, |(_, us)| us / all);
    let what = format!(
        "of {paid} paid orders that waited, through all steps of one worker, {}",
        plan.in_words
    );
    let target = format!("at least {}/s, measuring below 2 %", plan.least_per_s);
    let met = rate >= plan.least_per_s && measuring < MOST_MEASURING;
    let mut result = LimitResult::new(plan.name, what, &target, rate, "/s", met);
    result.details = spent.into();
    result.details.push(("measuring_share".to_owned(), measuring));
    Ok(result)
}

/// Without a worker. How many there are: so many at least.
async fn place_orders(town: &mut Town, goods: &Goods, count: u64) -> Result<u64> {
    town.set_delays(&ThirdParties::AT_ONCE).await?;
    let mut carts = Carts::of(goods.clone());
    let mut paid = 0;
    while paid < count {
        let requests = carts.orders(&mut town.monitor, 4_000).await?;
        let second = Duration::from_secs(1);
        let outcome = closed_loop(&town.shop().target(), &requests, CLIENTS, second, paid).await?;
        ensure!(outcome.errors.total() == 0, "orders failed: {:?}", outcome.errors);
        paid += outcome.completed;
    }
    Ok(paid)
}

/// Waits until so many mails came and, of orders that wait, as many payments were captured.
async fn wait_for(town: &Town, before: u64, orders: u64) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mails = town.simulators.mails().await? - before;
        let done = mails.min(town.simulators.captured().await?);
        if done >= orders {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{done} of {orders} orders were mailed and captured within {PATIENCE:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}
