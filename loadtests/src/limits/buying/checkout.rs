//! An order against Postgres alone: how much of what the database could do with an order's statements a service leaves.
//!
//! The rival doesn't move: pgbench runs the statements that an order had at the frozen commit, on the frozen schema, in a
//! database of its own. So orders that get cheaper come nearer to it, or pass it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::cpu_by_process::{CpuMeter, without_lab};
use super::expect_right_books;
use crate::costs::LAB_MARK;
use crate::frozen;
use crate::limits::{LimitResult, Turns};
use crate::load::closed_loop;
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town};

const LEAST_SHARE: f64 = 0.95;

/// Different variants that are bought.
const VARIANTS: usize = 64;

/// After so many orders each connection of the pool has prepared its statements.
const PREPARING: usize = 64;

/// More orders a second than any machine of these days takes with two cores.
const MOST_PER_S: f64 = 4_000.0;

/// Closed-loop orders a second ÷ transactions a second of `pgbench -M prepared` with the statements and the schema of the
/// frozen shop, both with the server's durability. Payments take no time, carts are there, no worker works.
pub(super) async fn checkout_against_pgbench(
    town: &mut Town,
    pgbench: &Path,
    frozen_url: &str,
    turns: Turns,
) -> Result<LimitResult> {
    town.set_delays(&ThirdParties::AT_ONCE).await?;
    let durable: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select current_setting('fsync') || ' ' || current_setting('synchronous_commit') {LAB_MARK}"
    )))
    .fetch_one(&mut town.monitor)
    .await?;
    ensure!(
        durable == "on on",
        "fsync and synchronous_commit are {durable}: that is no durability"
    );
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 1, PLENTY).await?;
    let mut carts = Carts::of(goods.clone());
    let pgbench = frozen::order_pgbench(pgbench, frozen_url).await?;
    let Turns {
        slice, connections, ..
    } = turns;
    let target = town.shop().target();
    prepare_statements(town, &mut carts, connections).await?;
    expect_right_books(town, &goods, PLENTY).await?;

    let enough = (MOST_PER_S * slice.as_secs_f64()) as usize;
    let mut paid = 0;
    let cpu = CpuMeter::of(town);
    let mut spent: Vec<(String, f64)> = Vec::new();
    let monitor = &mut town.monitor;
    let ours = async |seed| {
        let requests = carts.orders(monitor, enough).await?;
        let before = cpu.read()?;
        let outcome = closed_loop(&target, &requests, connections, slice, seed).await?;
        let of_slice = cpu.read()?.per_order_since(&before, 1);
        add(&mut spent, of_slice);
        ensure!(
            outcome.errors.total() == 0,
            "orders failed under load: {:?}",
            outcome.errors
        );
        ensure!(outcome.completed < enough as u64, "there were too few carts");
        paid += outcome.completed;
        Ok(outcome.throughput())
    };
    let mut pgbench_cpu = (0.0, 0.0);
    let theirs = async |_| {
        let (before, begun) = (cpu.read()?, Instant::now());
        let rate = pgbench.run(connections, slice).await?;
        pgbench_cpu.0 += cpu.read()?.postgres_since(&before);
        pgbench_cpu.1 += rate * begun.elapsed().as_secs_f64();
        Ok(rate)
    };
    let rivalry = turns.take(ours, theirs).await?;
    expect_right_books(town, &goods, PLENTY).await?;

    let share = rivalry.ratio.value;
    let what = format!(
        "orders, payments at once, no worker ÷ pgbench -M prepared with the statements and schema of {}, {connections} \
         connections, fsync on",
        frozen::LAST_MIGRATION
    );
    let met = share >= LEAST_SHARE;
    let mut result = LimitResult::new("checkout_against_pgbench", what, "at least 0.95", share, "", met);
    result.ci95 = Some(rivalry.ratio.ci95);
    result.limit = Some(rivalry.theirs);
    result.details.push(("orders_per_s".to_owned(), rivalry.ours));
    result.details.push(("orders".to_owned(), paid as f64));
    result.details.extend(cpu_details(spent, paid, pgbench_cpu));
    Ok(result)
}

/// Places orders until each connection of the pool has prepared its statements.
async fn prepare_statements(town: &mut Town, carts: &mut Carts, connections: usize) -> Result<()> {
    let preparing = carts.orders(&mut town.monitor, PREPARING * connections).await?;
    let lasts = Duration::from_millis(200);
    let prepared = closed_loop(&town.shop().target(), &preparing, connections, lasts, 0).await?;
    ensure!(
        prepared.completed > 0,
        "no order was placed: {:?}",
        prepared.errors
    );
    Ok(())
}

/// Microseconds per order of each process, and of Postgres per transaction of pgbench: `pgbench` has their sum and the
/// number of transactions.
fn cpu_details(spent: Vec<(String, f64)>, orders: u64, pgbench: (f64, f64)) -> Vec<(String, f64)> {
    let per_order = |(name, us): (String, f64)| (name, us / orders as f64);
    let mut details: Vec<(String, f64)> = without_lab(spent).map(per_order).collect();
    details.push(("pgbench_postgres_us".to_owned(), pgbench.0 / pgbench.1));
    details
}

fn add(sums: &mut Vec<(String, f64)>, figures: [(String, f64); 6]) {
    if sums.is_empty() {
        sums.extend(figures);
        return;
    }
    for (sum, (_, figure)) in sums.iter_mut().zip(figures) {
        sum.1 += figure;
    }
}
