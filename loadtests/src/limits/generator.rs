//! The generator itself: the least latency that it can see, and whether it agrees with one that nobody here wrote.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::turns::Rivalry;
use super::{BareServer, LimitResult, Turns, wrk};
use crate::load::{Request, Target, closed_loop, open_loop, warm_up};

const LEAST_PER_SECOND: f64 = 30_000.0;
const THROUGHPUT_TOLERANCE: f64 = 0.10;
const P50_TOLERANCE: f64 = 0.15;

/// The rate of the open loop on the empty route: far below what either side can take.
const FLOOR_RATE_PER_S: f64 = 1_000.0;

/// Throughput and latency on a route that does nothing: no measurement can be better than this.
pub async fn generator_floor(lab: &Path, turns: Turns) -> Result<LimitResult> {
    let server = BareServer::empty(lab).await?;
    let requests: Arc<[Request]> = [Request::get("/")?].into();
    warm_up(server.target(), &requests, turns.connections).await?;
    let closed = closed_loop(server.target(), &requests, turns.connections, turns.slice * 3, 1).await?;
    let open = open_loop(
        server.target(),
        &requests,
        FLOOR_RATE_PER_S,
        turns.slice * 3,
        turns.connections,
        1,
    )
    .await?;
    let rate = closed.throughput();
    let what = format!("closed loop on an empty route, {} connections", turns.connections);
    let met = rate >= LEAST_PER_SECOND;
    let mut result = LimitResult::new(
        "generator_floor",
        what,
        "at least 30 000 a second",
        rate,
        "requests/s",
        met,
    );
    result.details = vec![
        (
            "closed_p50_ms".to_owned(),
            closed.p50_ms().context("the empty route answered nothing")?,
        ),
        ("closed_generator_cpu_share".to_owned(), closed.generator_share()),
        (
            "open_p50_ms".to_owned(),
            open.p50_ms().context("the empty route answered nothing")?,
        ),
        ("open_p95_ms".to_owned(), open.p95_ms().unwrap_or(f64::NAN)),
    ];
    result.details.retain(|(_, value)| value.is_finite());
    Ok(result)
}

/// Throughput and p50 of ours ÷ those of wrk on the same route, closed-loop over as many connections, in turns.
pub async fn generator_against_wrk(target: &Target, path: &str, turns: Turns) -> Result<[LimitResult; 2]> {
    let requests: Arc<[Request]> = [Request::get(path)?].into();
    let url = format!("http://{}{path}", target.address);
    warm_up(target, &requests, turns.connections).await?;
    // wrk counts whole seconds; ours gets the same time.
    let slice = std::time::Duration::from_secs_f64(turns.slice.as_secs_f64().ceil());
    let (mut ours_p50_ms, mut theirs_p50_ms) = (Vec::new(), Vec::new());
    let ours = async |seed| {
        let outcome = closed_loop(target, &requests, turns.connections, slice, seed).await?;
        ensure!(
            outcome.errors.total() == 0,
            "requests failed under load: {:?}",
            outcome.errors
        );
        ours_p50_ms.push(outcome.p50_ms().context("nothing was answered")?);
        Ok(outcome.throughput())
    };
    let theirs = async |_| {
        let run = wrk::run(&url, turns.connections, slice).await?;
        theirs_p50_ms.push(run.p50_ms);
        Ok(run.requests_per_s)
    };
    let throughput = turns.take(ours, theirs).await?;
    // Each block has two turns of either.
    let pairs = ours_p50_ms.chunks(2).zip(theirs_p50_ms.chunks(2));
    let mean = |pair: &[f64]| pair.iter().sum::<f64>() / pair.len() as f64;
    let p50 = Rivalry::of(
        &pairs
            .map(|(ours, theirs)| (mean(ours), mean(theirs)))
            .collect::<Vec<_>>(),
    )?;

    let agreement = |name: &str, metric: &str, target: &str, rivalry: &Rivalry, tolerance: f64| {
        let what = format!(
            "{metric} of GET {path}: our generator ÷ wrk, {} connections",
            turns.connections
        );
        let met = (rivalry.ratio.value - 1.0).abs() <= tolerance;
        let mut result = LimitResult::new(name, what, target, rivalry.ratio.value, "", met);
        result.ci95 = Some(rivalry.ratio.ci95);
        result.limit = Some(rivalry.theirs);
        result
    };
    Ok([
        agreement(
            "generator_against_wrk_throughput",
            "throughput",
            "0.90 to 1.10",
            &throughput,
            THROUGHPUT_TOLERANCE,
        ),
        agreement(
            "generator_against_wrk_p50",
            "p50",
            "0.85 to 1.15",
            &p50,
            P50_TOLERANCE,
        ),
    ])
}
