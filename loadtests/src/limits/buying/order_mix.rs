//! Whether what follows an order is done in time while the shop is busy.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use super::expect_right_books;
use super::pages::{Page, Pages};
use crate::limits::LimitResult;
use crate::load::{closed_loop, open_loop};
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town, done_times};

const MOST_S: f64 = 5.0;

/// The share of what a closed loop reaches that is offered.
const LOAD: f64 = 0.7;

const CLIENTS: usize = 16;
const CONNECTIONS: usize = 64;
const PROBE: Duration = Duration::from_secs(3);
const RUN: Duration = Duration::from_secs(25);
const PATIENCE: Duration = Duration::from_secs(30);
const VARIANTS: usize = 256;

/// Requests that no closed loop of ours gets through in the probe.
const PROBED: usize = 6_000;

/// TPC-W's order mix, in parts of a thousand: home, new and best, detail, search, cart, register, buy request, buy,
/// history.
const MIX: [(Page, usize); 9] = [
    (Page::Home, 91),
    (Page::Best, 9),
    (Page::Detail, 124),
    (Page::Search, 276),
    (Page::Cart, 135),
    (Page::Register, 129),
    (Page::BuyRequest, 127),
    (Page::Buy, 102),
    (Page::History, 7),
];

/// Seconds from an order's request to its mail and label, while the mix runs at 70 % of what a closed loop reaches.
/// The last order stands for the 99th percentile where there are too few for one: it is the stricter of the two.
pub(super) async fn done_in_time(town: &mut Town) -> Result<LimitResult> {
    town.set_delays(&ThirdParties::USUAL).await?;
    town.start_worker("relay,consumers,upkeep").await?;
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 2, PLENTY).await?;
    let mut mix = Pages::new(town, Carts::of(goods.clone())).await?;
    let target = town.shop().target();
    let probe = mix.requests(town, &MIX, PROBED).await?;
    let capacity = closed_loop(&target, &probe, CLIENTS, PROBE, 1)
        .await?
        .throughput();
    let left = town.drain(PATIENCE).await?;
    ensure!(left == 0, "{left} orders of the probe were not done");

    let rate = capacity * LOAD;
    let requests = mix
        .requests(town, &MIX, (rate * RUN.as_secs_f64() * 1.2) as usize + 1_000)
        .await?;
    let since = Uuid::now_v7();
    let outcome = open_loop(&target, &requests, rate, RUN, CONNECTIONS, 2).await?;
    let left = town.drain(PATIENCE).await?;
    let times = done_times(&mut town.monitor, since).await?;
    expect_right_books(town, &goods, PLENTY).await?;
    let slowest = times.p99_s().or(times.last_s()).context("no order was placed")?;
    let failed =
        outcome.errors.status_5xx() + outcome.errors.timeout + outcome.errors.broken + outcome.dropped;
    let met = slowest <= MOST_S && left == 0 && times.undone == 0;
    let what = format!(
        "from an order to its mail and label, order mix at {:.0} % of {capacity:.0}/s, payment 120 / 400 ms, carrier 150 / \
         500, mail 30 / 150",
        LOAD * 100.0
    );
    let mut result = LimitResult::new("order_done", what, "at most 5 s at p99", slowest, "s", met);
    result.details = vec![
        ("orders".to_owned(), times.histogram.len() as f64),
        ("done_s_p50".to_owned(), times.quantile_s(0.5).unwrap_or_default()),
        ("done_s_last".to_owned(), times.last_s().unwrap_or_default()),
        ("offered_rps".to_owned(), rate),
        ("achieved_rps".to_owned(), outcome.throughput()),
        ("failed".to_owned(), failed as f64),
        ("p50_ms".to_owned(), outcome.p50_ms().unwrap_or_default()),
    ];
    Ok(result)
}
