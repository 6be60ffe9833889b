//! The uncached listing against Postgres alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Execution, LimitResult, Pgbench, StatementTap, Turns};
use crate::costs::{Cpu, Processes};
use crate::load::{Request, closed_loop, fetch, warm_up};
use crate::shop::{Shop, ShopSettings};

const LEAST_SHARE: f64 = 0.45;
const MOST_API_MICROSECONDS: f64 = 150.0;
const MOST_STATEMENTS: usize = 2;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Listing<'a> {
    /// The shop, without its cache.
    pub settings: &'a ShopSettings,
    /// The page, for example `/v1/products?limit=20`.
    pub path: &'a str,
    /// `pgbench`.
    pub pgbench: &'a Path,
    /// How they take turns.
    pub turns: Turns,
}

/// Throughput of the listing ÷ that of pgbench with the very same statements, both closed-loop over as many
/// connections; the api's CPU time a request; the number of statements.
pub async fn listing_against_pgbench(plan: &Listing<'_>) -> Result<[LimitResult; 3]> {
    let statements = statements_of(plan.settings, plan.path).await?;
    let pgbench = Pgbench::new(plan.pgbench, &plan.settings.database_url, &statements)?;
    let shop = Shop::start(plan.settings.clone()).await?;
    let requests: Arc<[Request]> = [Request::get(plan.path)?].into();
    let (
        target,
        Turns {
            slice, connections, ..
        },
    ) = (shop.target(), plan.turns);
    warm_up(&target, &requests, connections).await?;
    pgbench.run(connections, Duration::from_secs(1)).await?;

    let processes = Processes {
        api: Some(shop.pid()),
        ..Processes::default()
    };
    let (mut api_cpu, mut answered) = (Duration::ZERO, 0);
    let ours = async |seed| {
        let before = Cpu::read(&processes)?;
        let outcome = closed_loop(&target, &requests, connections, slice, seed).await?;
        ensure!(
            outcome.errors.total() == 0,
            "the listing failed under load: {:?}",
            outcome.errors
        );
        api_cpu += Cpu::read(&processes)?
            .since(&before)
            .api
            .context("the api's CPU time was read")?;
        answered += outcome.completed;
        Ok(outcome.throughput())
    };
    let rivalry = plan
        .turns
        .take(ours, async |_| pgbench.run(connections, slice).await)
        .await?;

    let share = rivalry.ratio.value;
    let what = format!(
        "GET {} uncached ÷ pgbench -M prepared with its statements, {connections} connections",
        plan.path
    );
    let mut throughput = LimitResult::new(
        "listing_against_pgbench",
        what,
        "at least 0.45",
        share,
        "",
        share >= LEAST_SHARE,
    );
    throughput.ci95 = Some(rivalry.ratio.ci95);
    throughput.limit = Some(rivalry.theirs);
    throughput.details.push(("listing_rps".to_owned(), rivalry.ours));

    let microseconds = api_cpu.as_secs_f64() * 1e6 / answered as f64;
    let what = format!("the api's own CPU for one GET {} uncached", plan.path);
    let met = microseconds <= MOST_API_MICROSECONDS;
    let cpu = LimitResult::new("listing_api_cpu", what, "at most 150 µs", microseconds, "µs", met);

    let what = format!("statements for one GET {} uncached", plan.path);
    let met = statements.len() <= MOST_STATEMENTS;
    let count = LimitResult::new(
        "listing_statements",
        what,
        "at most 2",
        statements.len() as f64,
        "",
        met,
    );
    Ok([throughput, cpu, count])
}

/// The statements that one request runs, learned from a shop of its own whose connections are tapped.
pub(super) async fn statements_of(settings: &ShopSettings, path: &str) -> Result<Vec<Execution>> {
    let tap = StatementTap::start(&settings.database_url)?;
    let mut tapped = settings.clone();
    tapped.database_url = tap.url().to_owned();
    tapped.log_path.set_extension("tapped.log");
    let shop = Shop::start(tapped).await?;
    let request = Request::get(path)?;
    // The first request may prepare what later ones find prepared.
    fetch(&shop.target(), &request).await?;
    tap.take()?;
    let answer = fetch(&shop.target(), &request).await?;
    ensure!(answer.status.is_success(), "{path} answers {}", answer.status);
    let statements = tap.take()?;
    ensure!(!statements.is_empty(), "{path} ran no statement: is a cache on?");
    Ok(statements)
}
