//! The listing from the Redis cache against a bare route that gets the same bytes from the same Redis.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use redis::AsyncCommands;
use sqlx::{Connection, PgConnection};

use super::{BareServer, LimitResult, Turns, redis_get_rate};
use crate::costs::Statements;
use crate::load::{Request, Target, closed_loop, fetch, warm_up};
use crate::shop::Shop;

const LEAST_SHARE: f64 = 0.8;

/// The key under which the bare route finds the bytes.
const KEY: &str = "backstock-lab:bare-route";

/// GETs of `redis-benchmark`: about a second's worth.
const REDIS_GETS: u64 = 50_000;

/// Requests over which statements are counted.
const COUNTED_REQUESTS: usize = 20;

/// What to measure.
#[derive(Debug)]
pub struct CachedListing<'a> {
    /// A shop with `catalog_cache=redis`.
    pub shop: &'a Shop,
    /// Its database.
    pub database_url: &'a str,
    /// Its Redis.
    pub redis_url: &'a str,
    /// The page.
    pub path: &'a str,
    /// The lab's own binary, which serves the bare route.
    pub lab: &'a Path,
    /// How they take turns.
    pub turns: Turns,
}

/// Throughput of the cached listing ÷ that of the bare route with the same body and headers; the number of statements
/// that a cached request runs. What `redis-benchmark` gets is among the details.
pub async fn cached_listing_against_bare_route(plan: &CachedListing<'_>) -> Result<[LimitResult; 2]> {
    let target = plan.shop.target();
    let request = Request::get(plan.path)?;
    fetch(&target, &request).await?;
    let statements = statements_when_cached(plan, &target, &request).await?;
    let answer = fetch(&target, &request).await?;
    ensure!(
        answer.status.is_success(),
        "{} answers {}",
        plan.path,
        answer.status
    );

    let mut redis = redis::Client::open(plan.redis_url)?
        .get_multiplexed_async_connection()
        .await?;
    redis.set::<_, _, ()>(KEY, &answer.body[..]).await?;
    let bare = BareServer::redis(plan.lab, &answer, plan.redis_url, KEY).await?;
    let requests: Arc<[Request]> = [request].into();
    let Turns {
        slice, connections, ..
    } = plan.turns;
    let rate = async |target: &Target, seed| {
        let outcome = closed_loop(target, &requests, connections, slice, seed).await?;
        ensure!(
            outcome.errors.total() == 0,
            "requests failed under load: {:?}",
            outcome.errors
        );
        Ok(outcome.throughput())
    };
    warm_up(&target, &requests, connections).await?;
    warm_up(bare.target(), &requests, connections).await?;
    let ours = async |seed| rate(&target, seed).await;
    let rivalry = plan
        .turns
        .take(ours, async |seed| rate(bare.target(), seed).await)
        .await?;
    let store_alone = redis_get_rate(plan.redis_url, KEY, connections, REDIS_GETS).await?;
    redis.del::<_, ()>(KEY).await?;

    let share = rivalry.ratio.value;
    let what = format!(
        "GET {} from Redis ÷ a bare route with the same bytes from the same Redis",
        plan.path
    );
    let mut throughput = LimitResult::new(
        "cached_listing_against_bare_route",
        what,
        "at least 0.8",
        share,
        "",
        share >= LEAST_SHARE,
    );
    throughput.ci95 = Some(rivalry.ratio.ci95);
    throughput.limit = Some(rivalry.theirs);
    throughput.details = vec![
        ("listing_rps".to_owned(), rivalry.ours),
        ("redis_benchmark_gets_per_s".to_owned(), store_alone),
        ("body_bytes".to_owned(), answer.body.len() as f64),
    ];
    let what = format!("statements for one GET {} from Redis", plan.path);
    let count = LimitResult::new(
        "cached_listing_statements",
        what,
        "none",
        statements,
        "",
        statements == 0.0,
    );
    Ok([throughput, count])
}

async fn statements_when_cached(plan: &CachedListing<'_>, target: &Target, request: &Request) -> Result<f64> {
    let mut database = PgConnection::connect(plan.database_url).await?;
    Statements::enable(&mut database).await?;
    let before = Statements::snapshot(&mut database).await?;
    for _ in 0..COUNTED_REQUESTS {
        fetch(target, request).await?;
    }
    let after = Statements::snapshot(&mut database).await?;
    database.close().await?;
    Ok(Statements::delta(&before, &after)?
        .per_request(COUNTED_REQUESTS as u64)
        .queries)
}
