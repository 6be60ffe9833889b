//! The counted pass: a few requests one after the other, and what they cost exactly.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::client::Client;
use super::explain;
use super::stand::Stand;
use crate::costs::Statements;
use crate::lessons::{Before, Load, Observation, Scenario};
use crate::report::{Cost, StatementCost};

/// Requests of a pass at most, and fewer where they are slow: counting needs no more. Yet more than the pool has
/// connections, so that the pass before has prepared the statements on each of them.
const REQUESTS: usize = 100;
const FEWEST: usize = 10;
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The connections of a shop's pool, which lends them in turns. Where each has run a statement, it is prepared.
const CONNECTIONS: usize = 8;

/// A connection that is given back to the pool makes one more exchange after the answer. It is waited for, since it is
/// counted as well.
const AFTER_THE_ANSWER: Duration = Duration::from_millis(10);

/// Sends these requests to the arm's counted process and reads all counters before and after.
pub async fn count(scenario: &Scenario, paths: &[String], stand: &mut Stand) -> Result<Observation> {
    let mut client = Client::connect(stand.counted.address()).await?;
    if scenario.before == Before::EmptyCache {
        stand.empty_cache().await?;
    }
    // The last request of the pass before may not be over.
    tokio::time::sleep(AFTER_THE_ANSWER).await;
    let before = Statements::snapshot(&mut stand.monitor).await?;
    let (postgres_before, redis_before) = stand.counters();
    let mut seen = Observation {
        requests: paths.len() as u64,
        ..Observation::default()
    };
    let (mut bytes, mut hits) = (0u64, 0u64);
    let mut items = Some(0usize);
    for path in paths {
        let answer = client.get(path, scenario.accept_encoding).await?;
        ensure!(
            answer.status.is_success(),
            "{}: GET {path} answered {}",
            stand.arm,
            answer.status
        );
        bytes += answer.body.len() as u64;
        hits += u64::from(answer.is_cache_hit());
        items = items.zip(answer.items()).map(|(before, more)| before + more);
        if !answer.header("content-encoding").is_empty() {
            *seen
                .encodings
                .entry(answer.header("content-encoding").to_owned())
                .or_default() += 1.0;
        }
    }
    tokio::time::sleep(AFTER_THE_ANSWER).await;
    let (postgres_after, redis_after) = stand.counters();
    let after = Statements::snapshot(&mut stand.monitor).await?;
    let costs = Statements::delta(&before, &after)?;
    let (postgres, redis) = (
        postgres_after.since(&postgres_before),
        redis_after.since(&redis_before),
    );

    let requests = paths.len() as f64;
    let each = |count: f64| Some(count / requests);
    seen.cost = Cost {
        queries_per_request: each(costs.total.calls as f64),
        rows_per_request: each(costs.total.rows as f64),
        buffers_per_request: each(costs.total.buffers as f64),
        round_trips_per_request: each((postgres.round_trips + redis.round_trips) as f64),
        response_bytes: each(bytes as f64),
        postgres_bytes: each(postgres.bytes_to_client as f64),
        redis_bytes: each(redis.bytes_to_client as f64),
        wal_bytes: each(costs.total.wal_bytes as f64),
    };
    seen.connections_per_request = postgres.connections as f64 / requests;
    seen.hit_ratio = hits as f64 / requests;
    seen.items_per_answer = items.map(|items| items as f64 / requests);
    let different: std::collections::BTreeSet<&String> = paths.iter().collect();
    seen.repeated = 1.0 - different.len() as f64 / requests;
    seen.encodings.values_mut().for_each(|count| *count /= requests);
    let statement = |cost: &crate::costs::StatementCost| StatementCost {
        text: cost.query.clone(),
        calls_per_request: cost.calls as f64 / requests,
        rows_per_request: cost.rows as f64 / requests,
        buffers_per_request: cost.buffers as f64 / requests,
        plan: None,
        no_plan_because: None,
    };
    seen.statements = costs.statements.iter().map(statement).collect();
    explain::last_statement(&mut seen.statements, stand).await?;
    Ok(seen)
}

/// Asks once for each path, so that statements are prepared and pages are in memory, until patience ends. Returns what
/// was asked by then. All arms must be counted on the same questions: on those that the slowest has answered.
pub async fn affordable(scenario: &Scenario, paths: &[String], stand: &Stand) -> Result<Vec<String>> {
    // Counts do not depend on distance, and without it they are there sooner.
    stand.shop_at(Duration::ZERO);
    let mut client = Client::connect(stand.counted.address()).await?;
    let spread = (paths.len() / REQUESTS).max(1);
    let chosen: Vec<String> = match paths.len() {
        0..REQUESTS => paths
            .iter()
            .cycle()
            .take(paths.len().max(REQUESTS / 2))
            .cloned()
            .collect(),
        _ => paths.iter().step_by(spread).take(REQUESTS).cloned().collect(),
    };
    let (fewest, patience) = match scenario.load {
        Load::Counted => (CONNECTIONS, Duration::ZERO),
        _ => (FEWEST, PATIENCE),
    };
    let begun = Instant::now();
    let mut asked = 0;
    for path in &chosen {
        if asked >= fewest && begun.elapsed() > patience {
            break;
        }
        client.get(path, scenario.accept_encoding).await?;
        asked += 1;
    }
    // What is only counted has few paths, and each costs the same whenever it is asked for: once each is enough.
    let counted = match scenario.load {
        Load::Counted => asked.min(paths.len()),
        _ => asked,
    };
    Ok(chosen.into_iter().take(counted).collect())
}
