//! The counted pass: a few requests one after the other, and what they cost exactly.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::asks::Asks;
use super::client::Client;
use super::explain;
use super::stand::Stand;
use crate::costs::{Statements, ThreadTimes};
use crate::lessons::{Before, Load, Observation, Requests, Scenario};
use crate::load::Request;
use crate::report::{Cost, StatementCost};
use crate::trials::Simulators;

/// Requests of a pass at most, and fewer where they are slow: counting needs no more. Yet more than the pool has
/// connections, so that the pass before has prepared the statements on each of them.
const REQUESTS: usize = 100;
const FEWEST: usize = CONNECTIONS + 1;
const PATIENCE: Duration = Duration::from_millis(1_000);

/// The connections of a shop's pool, which lends them in turns. Where each has run a statement, it is prepared.
const CONNECTIONS: usize = 8;

/// Requests that can be sent only once: so many before the pass, and so many on it.
const ONCE: usize = 24;

/// Slow requests whose processor time is looked at.
const SLOW: usize = 12;

/// The name of the api's threads for blocking work.
const BLOCKING_THREAD: &str = "blocking";

/// A connection that is given back to the pool makes one more exchange after the answer. It is waited for, since it is
/// counted as well.
const AFTER_THE_ANSWER: Duration = Duration::from_millis(10);

/// Sends these requests to the arm's counted process and reads all counters before and after.
pub async fn count(
    scenario: &Scenario,
    requests: &[Request],
    stand: &mut Stand,
    third_parties: Option<&Simulators>,
) -> Result<Observation> {
    let mut client = Client::to(stand.counted.address());
    if scenario.before == Before::EmptyCache {
        stand.empty_cache().await?;
    }
    // The last request of the pass before may not be over.
    tokio::time::sleep(AFTER_THE_ANSWER).await;
    let before = Statements::snapshot(&mut stand.monitor).await?;
    let (postgres_before, redis_before) = stand.counters();
    let mails_before = mails(third_parties).await?;
    let mut seen = Observation {
        requests: requests.len() as u64,
        ..Observation::default()
    };
    let (mut bytes, mut hits) = (0u64, 0u64);
    let mut items = Some(0usize);
    for request in requests {
        let answer = client.ask(request).await?;
        ensure!(
            answer.status.is_success(),
            "{}: {} {} answered {}: {}",
            stand.arm,
            request.method,
            request.path,
            answer.status,
            String::from_utf8_lossy(&answer.body)
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

    let asked = requests.len() as f64;
    let each = |count: f64| Some(count / asked);
    seen.cost = Cost {
        queries_per_request: each(costs.total.calls as f64),
        rows_per_request: each(costs.total.rows as f64),
        buffers_per_request: each(costs.total.buffers as f64),
        round_trips_per_request: each((postgres.round_trips + redis.round_trips) as f64),
        response_bytes: each(bytes as f64),
        postgres_bytes: each(postgres.bytes_to_client as f64),
        redis_bytes: each(redis.bytes_to_client as f64),
        wal_bytes: each(costs.total.wal_bytes as f64),
        request_bytes: token_bytes(scenario, requests),
    };
    seen.connections_per_request = postgres.connections as f64 / asked;
    seen.redis_round_trips = redis.round_trips as f64 / asked;
    seen.mails = (mails(third_parties).await? - mails_before) as f64 / asked;
    seen.hit_ratio = hits as f64 / asked;
    seen.items_per_answer = items.map(|items| items as f64 / asked);
    seen.repeated = repeated(requests);
    seen.encodings.values_mut().for_each(|count| *count /= asked);
    let each_statement = |cost| statement(cost, asked);
    seen.statements = costs.statements.iter().map(each_statement).collect();
    explain::last_statement(&mut seen.statements, stand).await?;
    Ok(seen)
}

/// The share of requests that repeat an earlier one.
fn repeated(requests: &[Request]) -> f64 {
    let different: HashSet<&hyper::Uri> = requests.iter().map(|request| &request.path).collect();
    1.0 - different.len() as f64 / requests.len() as f64
}

/// Bytes of a request, where customers bring tokens that the arms make differ.
fn token_bytes(scenario: &Scenario, requests: &[Request]) -> Option<f64> {
    let sent: u64 = requests.iter().map(Request::bytes).sum();
    matches!(scenario.requests, Requests::SignedIn { .. }).then(|| sent as f64 / requests.len() as f64)
}

fn statement(cost: &crate::costs::StatementCost, requests: f64) -> StatementCost {
    StatementCost {
        text: cost.query.clone(),
        calls_per_request: cost.calls as f64 / requests,
        rows_per_request: cost.rows as f64 / requests,
        buffers_per_request: cost.buffers as f64 / requests,
        plan: None,
        no_plan_because: None,
    }
}

/// The share of the api's processor time that these requests make it spend on threads for blocking work.
pub async fn blocking_share(slow: &Asks, stand: &Stand) -> Result<f64> {
    let requests = slow.take(SLOW).await?;
    let mut client = Client::to(stand.counted.address());
    let before = ThreadTimes::read(stand.counted.pid())?;
    for request in requests.iter().cycle().take(SLOW) {
        let answer = client.ask(request).await?;
        ensure!(
            answer.status.is_success(),
            "{}: {} {} answered {}",
            stand.arm,
            request.method,
            request.path,
            answer.status
        );
    }
    let used = ThreadTimes::read(stand.counted.pid())?.since(&before);
    Ok(used.share(BLOCKING_THREAD))
}

async fn mails(third_parties: Option<&Simulators>) -> Result<u64> {
    match third_parties {
        Some(third_parties) => third_parties.mails().await,
        None => Ok(0),
    }
}

/// Asks once for each, so that statements are prepared and pages are in memory, until patience ends. Returns what is to
/// be counted: what was asked by then, since all arms must be counted on the same questions, those that the slowest has
/// answered; or new ones where each can be sent only once.
pub async fn affordable(scenario: &Scenario, asks: &Asks, stand: &Stand) -> Result<Vec<Request>> {
    // Counts do not depend on distance, and without it they are there sooner.
    stand.shop_at(Duration::ZERO);
    let mut client = Client::to(stand.counted.address());
    let requests = asks.take(ONCE).await?;
    if asks.are_used_up() {
        for request in requests.iter() {
            client.ask(request).await?;
        }
        return Ok(asks.take(ONCE).await?.to_vec());
    }
    let spread = (requests.len() / REQUESTS).max(1);
    let chosen: Vec<Request> = match requests.len() {
        0..REQUESTS => requests
            .iter()
            .cycle()
            .take(requests.len().max(REQUESTS / 2))
            .cloned()
            .collect(),
        _ => requests.iter().step_by(spread).take(REQUESTS).cloned().collect(),
    };
    let (fewest, patience) = match scenario.load {
        Load::Counted => (CONNECTIONS, Duration::ZERO),
        _ => (FEWEST, PATIENCE),
    };
    let begun = Instant::now();
    let mut asked = 0;
    for request in &chosen {
        if asked >= fewest && begun.elapsed() > patience {
            break;
        }
        client.ask(request).await?;
        asked += 1;
    }
    // What is only counted has few paths, and each costs the same whenever it is asked for: once each is enough.
    let counted = match scenario.load {
        Load::Counted => asked.min(requests.len()),
        _ => asked,
    };
    Ok(chosen.into_iter().take(counted).collect())
}
