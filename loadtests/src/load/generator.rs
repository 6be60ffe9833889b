//! Where the generator runs: a thread of its own, whose CPU time is watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::time::{ClockId, clock_gettime};

use super::connection::Connection;
use super::{Outcome, Request, Target};

/// How many task polls may pass before sockets and timers are looked at again. Lower than tokio's 61, so that a burst
/// of answers delays the next arrival by tens of microseconds at most.
const EVENT_INTERVAL: u32 = 16;

/// Runs the work on a thread of its own with a current-thread runtime, so that other tasks of the lab do not disturb
/// it. Dropping the returned future stops the work.
pub(super) async fn on_own_thread<Work>(work: impl FnOnce() -> Work + Send + 'static) -> Result<Outcome>
where
    Work: Future<Output = Result<Outcome>>,
{
    let (mut give, take) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("load-generator".to_owned());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(EVENT_INTERVAL)
            .build();
        let outcome = runtime
            .context("cannot make the generator's runtime")
            .and_then(|runtime| {
                runtime.block_on(async {
                    tokio::select! {
                        outcome = work() => outcome,
                        () = give.closed() => Err(anyhow::anyhow!("the load was given up")),
                    }
                })
            });
        // Nobody waits any more when the load was given up.
        let _ = give.send(outcome);
    };
    thread.spawn(run).context("cannot start the generator's thread")?;
    take.await
        .context("the generator's thread has failed; its message is above")?
}

/// The list of requests, walked in order from a place that the seed chooses.
pub(super) struct Walk {
    requests: Arc<[Request]>,
    position: AtomicUsize,
}

impl Walk {
    pub(super) fn new(requests: &Arc<[Request]>, seed: u64) -> Result<Walk> {
        ensure!(!requests.is_empty(), "there are no requests to send");
        let start = ChaCha8Rng::seed_from_u64(seed).random_range(0..requests.len());
        Ok(Walk {
            requests: Arc::clone(requests),
            position: AtomicUsize::new(start),
        })
    }

    pub(super) fn next(&self) -> &Request {
        let position = self.position.fetch_add(1, Ordering::Relaxed);
        &self.requests[position % self.requests.len()]
    }
}

/// Connections that are already open, and the count of what is read from them.
pub(super) struct Lines {
    pub(super) connections: Vec<Connection>,
    wire_bytes: Arc<AtomicU64>,
}

impl Lines {
    pub(super) async fn open(target: &Target, count: usize) -> Result<Lines> {
        ensure!(count > 0, "a load needs at least one connection");
        let wire_bytes = Arc::new(AtomicU64::new(0));
        let mut connections: Vec<Connection> =
            (0..count).map(|_| Connection::new(target, &wire_bytes)).collect();
        join_all(connections.iter_mut().map(Connection::connect_early)).await;
        Ok(Lines {
            connections,
            wire_bytes,
        })
    }

    pub(super) fn wire_bytes(&self) -> u64 {
        self.wire_bytes.load(Ordering::Relaxed)
    }
}

/// Wall-clock and CPU time of the thread that started it.
pub(super) struct Stopwatch {
    pub(super) started: Instant,
    cpu_at_start: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Stopwatch {
        Stopwatch {
            started: Instant::now(),
            cpu_at_start: thread_cpu_time(),
        }
    }

    pub(super) fn cpu(&self) -> Duration {
        thread_cpu_time().saturating_sub(self.cpu_at_start)
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread's CPU time is not negative")
}
