//! Open loop: requests arrive when they arrive, whether or not earlier ones have been answered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tcp_proxy::PreciseTimer;
use tokio::sync::Semaphore;

use super::connection::{Connection, file};
use super::generator::{Lines, Stopwatch, Walk, on_own_thread};
use super::{Outcome, Request, Target};

/// How long an arrival waits for a free connection before it counts as dropped. A stall of the server shorter than this
/// is seen in full.
const SEND_PATIENCE: Duration = Duration::from_secs(5);

/// Sends requests at a mean rate with Poisson arrivals, over so many connections at most.
///
/// Latency counts from the moment at which a request was *meant* to be sent, so a server that stalls is charged for
/// everyone who would have come meanwhile. An arrival that finds no free connection waits; one that has waited for
/// five seconds is dropped. The run ends when the last arrival is answered or dropped.
///
/// The seed fixes the arrivals and where in the list of requests the walk starts.
pub async fn open_loop(
    target: &Target,
    requests: &Arc<[Request]>,
    rate_per_s: f64,
    duration: Duration,
    connections: usize,
    seed: u64,
) -> Result<Outcome> {
    ensure!(
        rate_per_s > 0.0 && rate_per_s.is_finite(),
        "the rate must be above 0; got {rate_per_s}"
    );
    let target = target.clone();
    let walk = Walk::new(requests, seed)?;
    let arrivals = Arrivals::new(rate_per_s, duration, seed);
    let desk = Desk::new(walk, SEND_PATIENCE);
    on_own_thread(move || run(target, desk, arrivals, connections)).await
}

async fn run(target: Target, desk: Desk, mut arrivals: Arrivals, connections: usize) -> Result<Outcome> {
    let mut lines = Lines::open(&target, connections).await?;
    let mut timer = PreciseTimer::new()?;
    let desk = Arc::new(desk);
    let clerks: Vec<_> = lines
        .connections
        .drain(..)
        .map(|connection| tokio::spawn(serve(Arc::clone(&desk), connection)))
        .collect();

    let watch = Stopwatch::start();
    let mut drawn = 0u64;
    for offset in arrivals.by_ref() {
        let intended = watch.started + offset;
        timer.sleep_until(intended).await?;
        desk.admit(intended);
        desk.outcome().record_lateness(intended.elapsed());
        drawn += 1;
    }
    desk.close();
    for clerk in clerks {
        clerk
            .await
            .context("a connection of the generator has failed; its message is above")?;
    }

    let duration = arrivals.duration;
    let mut outcome = std::mem::replace(&mut *desk.outcome(), Outcome::empty());
    outcome.wire_bytes = lines.wire_bytes();
    outcome.offered = Some(drawn as f64 / duration.as_secs_f64());
    outcome.finish(watch.started.elapsed().max(duration), watch.cpu());
    Ok(outcome)
}

/// One connection's task: takes the arrival that waits longest, as soon as it is free.
async fn serve(desk: Arc<Desk>, mut connection: Connection) {
    while let Some(intended) = desk.next_arrival().await {
        // Taken from the list also when it is dropped, so that the sequence does not depend on the server's speed.
        let request = desk.walk.next();
        if intended.elapsed() > desk.send_patience {
            desk.outcome().dropped += 1;
            continue;
        }
        let result = connection.ask(request).await;
        file(&mut desk.outcome(), request.class, intended, result);
    }
}

/// Where arrivals wait for a free connection. The locks are never contended: all of it runs on one thread.
struct Desk {
    walk: Walk,
    send_patience: Duration,
    queue: Mutex<VecDeque<Instant>>,
    /// One permit for each arrival in the queue; whoever waits longest for one gets it, so that all connections are
    /// used in turn.
    waiting: Semaphore,
    outcome: Mutex<Outcome>,
}

impl Desk {
    fn new(walk: Walk, send_patience: Duration) -> Desk {
        let queue = Mutex::new(VecDeque::new());
        Desk {
            walk,
            send_patience,
            queue,
            waiting: Semaphore::new(0),
            outcome: Mutex::new(Outcome::empty()),
        }
    }

    fn admit(&self, intended: Instant) {
        self.queue().push_back(intended);
        self.waiting.add_permits(1);
    }

    /// No more arrivals come. Those in the queue are still served.
    fn close(&self) {
        self.waiting.close();
    }

    /// `None` when the desk is closed and nobody waits.
    async fn next_arrival(&self) -> Option<Instant> {
        if let Ok(permit) = self.waiting.acquire().await {
            permit.forget();
        }
        self.queue().pop_front()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        self.queue.lock().expect("no holder of this lock panics")
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().expect("no holder of this lock panics")
    }
}

/// Poisson arrivals: exponentially distributed gaps, drawn from a seed.
struct Arrivals {
    rng: ChaCha8Rng,
    mean_gap_s: f64,
    at_s: f64,
    duration: Duration,
}

impl Arrivals {
    fn new(rate_per_s: f64, duration: Duration, seed: u64) -> Arrivals {
        Arrivals {
            rng: ChaCha8Rng::seed_from_u64(seed),
            mean_gap_s: 1.0 / rate_per_s,
            at_s: 0.0,
            duration,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    /// The next arrival's offset from the start.
    fn next(&mut self) -> Option<Duration> {
        // 1 - u is in (0, 1]: its logarithm is finite.
        let uniform: f64 = self.rng.random();
        self.at_s -= (1.0 - uniform).ln() * self.mean_gap_s;
        let at = Duration::from_secs_f64(self.at_s);
        (at < self.duration).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_poisson_and_repeatable() {
        let draw = |seed| Arrivals::new(1_000.0, Duration::from_secs(100), seed).collect::<Vec<_>>();
        let arrivals = draw(1);
        assert_eq!(arrivals, draw(1));
        assert_ne!(arrivals, draw(2));
        // 100 000 expected; four standard deviations are 1 265.
        assert!(arrivals.len().abs_diff(100_000) < 1_265, "{}", arrivals.len());
        // The standard deviation of exponential gaps equals their mean, 1 ms.
        let gaps: Vec<f64> = arrivals
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3)
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05,
            "mean {mean}, variance {variance}"
        );
    }

    /// A server that accepts connections, and answers nothing for the first second.
    async fn slow_starter() -> Target {
        let router = axum::Router::new().fallback(async || "late");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new(listener.local_addr().unwrap());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            axum::serve(listener, router).await.unwrap();
        });
        target
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn arrivals_that_find_no_connection_in_time_are_dropped() {
        let target = slow_starter().await;
        let walk = Walk::new(&[Request::get("/").unwrap()].into(), 1).unwrap();
        let desk = Desk::new(walk, Duration::from_millis(200));
        let arrivals = Arrivals::new(100.0, Duration::from_millis(600), 1);
        let outcome = on_own_thread(move || run(target, desk, arrivals, 1))
            .await
            .unwrap();

        let drawn = (outcome.offered.unwrap() * 0.6).round() as u64;
        assert_eq!(outcome.completed + outcome.dropped, drawn);
        // The first waits for its answer on the only connection; all others waited for longer than their patience.
        assert_eq!(outcome.completed, 1);
        assert!(outcome.achieved_share().unwrap() < 0.1);
        assert!(outcome.error_share() > 0.9);
    }
}
