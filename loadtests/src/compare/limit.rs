//! What the optimized arm's headline is measured against: the store itself, doing the same work in the same run.
//!
//! Read next: `limits`, whose instruments these are, and which has targets for some of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::asks::Asks;
use super::plan::CONCURRENCY;
use super::stand::{Ground, Stand, target};
use crate::lessons::{LimitKind, Plan, Scenario};
use crate::limits::{BareServer, Pgbench, StatementTap, redis_get_rate};
use crate::load::{Request, Target, closed_loop, fetch};
use crate::report::Limit;

/// One turn. `pgbench` counts in whole seconds.
const TURN: Duration = Duration::from_secs(1);

/// The requests of a turn of `redis-benchmark`, which counts them and not the time: about a second.
const GETS: u64 = 50_000;

/// Measures a lesson's limit with one request of a scenario, in one ABBA block.
pub async fn measure(
    plan: &Plan,
    ground: &Ground,
    scenario: &Scenario,
    asks: &Asks,
    stand: &Stand,
) -> Result<Option<Limit>> {
    let Some(request) = asks.first() else {
        return Ok(None);
    };
    let requests: std::sync::Arc<[Request]> = [request.clone()].into();
    let shop = target(stand.shop_at(Duration::ZERO));
    let ours = async || -> Result<f64> {
        Ok(closed_loop(&shop, &requests, CONCURRENCY, TURN, 1)
            .await?
            .throughput())
    };
    let (what, theirs, reached) = match plan.limit {
        LimitKind::SameStatements => {
            let pgbench = same_statements(plan, ground, stand, &requests[0]).await?;
            let theirs = async || pgbench.run(CONCURRENCY, TURN).await;
            let (limit, share) = in_turns(ours, theirs).await?;
            (
                "`pgbench -M prepared` running the statements of one request over as many connections",
                limit,
                share,
            )
        }
        LimitKind::RedisGet => {
            stand.empty_cache().await?;
            fetch(&shop, &requests[0]).await?;
            let key = only_key(&stand.redis_url).await?;
            let theirs = async || redis_get_rate(&stand.redis_url, &key, CONCURRENCY, GETS).await;
            let (limit, share) = in_turns(ours, theirs).await?;
            (
                "`redis-benchmark` getting the stored answer over as many connections",
                limit,
                share,
            )
        }
        LimitKind::SameBytes => {
            let answer = fetch(&shop, &requests[0]).await?;
            let lab = std::env::current_exe().context("cannot find the path of this program")?;
            let bare = BareServer::bytes(&lab, &answer).await?;
            let theirs = async || -> Result<f64> { throughput_of(bare.target(), &requests).await };
            let (limit, share) = in_turns(ours, theirs).await?;
            (
                "a bare axum route that serves the same bytes, already compressed, from memory",
                limit,
                share,
            )
        }
        LimitKind::None => return Ok(None),
    };
    let (what, value) = (
        format!("{what}; one path of `{}`, {CONCURRENCY} clients", scenario.name),
        Some(theirs),
    );
    Ok(Some(Limit {
        what,
        value,
        reached: Some(reached),
        unit: "a second".into(),
    }))
}

async fn throughput_of(target: &Target, requests: &std::sync::Arc<[Request]>) -> Result<f64> {
    Ok(closed_loop(target, requests, CONCURRENCY, TURN, 1)
        .await?
        .throughput())
}

/// The limit, and the share of it that is reached.
async fn in_turns(
    ours: impl AsyncFn() -> Result<f64>,
    theirs: impl AsyncFn() -> Result<f64>,
) -> Result<(f64, f64)> {
    let first = ours().await?;
    let second = theirs().await?;
    let third = theirs().await?;
    let fourth = ours().await?;
    let limit = f64::midpoint(second, third);
    ensure!(limit > 0.0, "the limit's own run answered nothing");
    Ok((limit, f64::midpoint(first, fourth) / limit))
}

/// What one request makes the api send to Postgres, as a script.
async fn same_statements(plan: &Plan, ground: &Ground, stand: &Stand, request: &Request) -> Result<Pgbench> {
    let tap = StatementTap::start(&stand.database_url)?;
    let shop = stand.at(ground, plan.lesson, tap.url(), "tapped").await?;
    let tapped = target(&shop);
    // What the first request adds, such as reading the catalogue of types, belongs to no other.
    fetch(&tapped, request).await?;
    tap.take()?;
    fetch(&tapped, request).await?;
    let statements = tap.take()?;
    shop.stop().await?;
    Pgbench::new(
        &ground.services.postgres_bin().join("pgbench"),
        &stand.database_url,
        &statements,
    )
}

/// The key of the one answer that the cache holds.
async fn only_key(redis_url: &str) -> Result<String> {
    let mut connection = redis::Client::open(redis_url)?
        .get_multiplexed_async_connection()
        .await?;
    let key: Option<String> = redis::cmd("RANDOMKEY").query_async(&mut connection).await?;
    key.context("the cache kept no answer")
}
