//! Closed loop: so many clients, each of which sends its next request when the last is answered.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::connection::{Connection, file};
use super::generator::{Lines, Stopwatch, Walk, on_own_thread};
use super::{Outcome, Request, Target};

/// Keeps so many requests under way, and ends when those that began within `duration` are answered.
///
/// Right for throughput. Its latencies hide stalls, since nobody arrives while everybody waits: use the open loop for
/// those. The seed says where in the list of requests the walk starts.
pub async fn closed_loop(
    target: &Target,
    requests: &Arc<[Request]>,
    concurrency: usize,
    duration: Duration,
    seed: u64,
) -> Result<Outcome> {
    let target = target.clone();
    let walk = Walk::new(requests, seed)?;
    on_own_thread(move || run(target, walk, concurrency, duration)).await
}

async fn run(target: Target, walk: Walk, concurrency: usize, duration: Duration) -> Result<Outcome> {
    let mut lines = Lines::open(&target, concurrency).await?;
    let shared = Arc::new((walk, Mutex::new(Outcome::empty())));
    let watch = Stopwatch::start();
    let end = watch.started + duration;
    let clients: Vec<_> = lines
        .connections
        .drain(..)
        .map(|connection| tokio::spawn(ask_until(end, connection, Arc::clone(&shared))))
        .collect();
    for client in clients {
        client
            .await
            .context("a connection of the generator has failed; its message is above")?;
    }

    let (_, outcome) = &*shared;
    let mut outcome = std::mem::replace(
        &mut *outcome.lock().expect("no holder of this lock panics"),
        Outcome::empty(),
    );
    outcome.wire_bytes = lines.wire_bytes();
    outcome.finish(watch.started.elapsed(), watch.cpu());
    Ok(outcome)
}

async fn ask_until(end: Instant, mut connection: Connection, shared: Arc<(Walk, Mutex<Outcome>)>) {
    let (walk, outcome) = &*shared;
    loop {
        let sent = Instant::now();
        if sent >= end {
            return;
        }
        let request = walk.next();
        let result = connection.ask(request).await;
        file(
            &mut outcome.lock().expect("no holder of this lock panics"),
            request.class,
            sent,
            result,
        );
    }
}
