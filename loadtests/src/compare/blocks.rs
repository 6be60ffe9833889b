//! ABBA blocks: two sides in turns, in short slices, so that what the machine does meanwhile befalls both.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_services::Services;
use tokio::task::JoinHandle;

use super::asks::Asks;
use super::plan::{Arrivals, OPEN_LOOP_CONNECTIONS, SlicePlan};
use super::progress::Progress;
use super::stand::{processes, target};
use crate::costs::{Cpu, CpuTimes, Processes};
use crate::load::{Outcome, Target, closed_loop, open_loop};
use crate::report::CpuCost;
use crate::shop::Shop;

/// Windows of a warm-up: how long, how many at most, and how far two may differ that agree.
const WINDOW: Duration = Duration::from_millis(150);

/// A window that lasts longer, since its last requests do, is the only one.
const SLOW_WINDOW: Duration = Duration::from_secs(2);
const MOST_WINDOWS: u64 = 6;
const AGREEMENT: f64 = 0.15;

/// How long slow requests are under way before those that are measured begin: until each has a connection, or waits for
/// one.
const HEAD_START: Duration = Duration::from_millis(50);

/// What no arm answers as fast, of requests that can be sent only once: so many are made for the first windows.
const UNHEARD_OF_PER_S: f64 = 2_000.0;

/// One side of a comparison.
pub struct Side {
    target: Target,
    processes: Processes,
    asks: Asks,
    /// The logical Redis database to be emptied before each slice, if the scenario asks for it.
    emptied: Option<String>,
    /// Slow requests that are under way during each slice.
    slow: Option<Slow>,
}

struct Slow {
    clients: usize,
    asks: Asks,
}

/// What one side did in a block, or in all.
pub struct Measured {
    /// Latencies, counts.
    pub outcome: Outcome,
    /// CPU for each good answer. Empty where slow requests ran beside them: nobody can say whose it was.
    pub cpu: CpuCost,
    /// What the slow requests beside them did.
    pub slow: Option<Outcome>,
    used: CpuTimes,
}

impl Side {
    /// A shop under these requests.
    pub fn new(shop: &Shop, services: &Services, asks: Asks, emptied: Option<String>) -> Self {
        Self {
            target: target(shop),
            processes: processes(shop, services),
            asks,
            emptied,
            slow: None,
        }
    }

    /// The same with slow requests under way during each slice.
    pub fn beside(mut self, clients: usize, asks: Asks) -> Self {
        self.slow = Some(Slow { clients, asks });
        self
    }

    /// Keeps slow requests under way for so long.
    async fn start_slow(&self, duration: Duration, seed: u64) -> Result<Option<JoinHandle<Result<Outcome>>>> {
        let Some(slow) = &self.slow else {
            return Ok(None);
        };
        let requests = slow.asks.take(most_in(UNHEARD_OF_PER_S, duration)).await?;
        let (target, clients) = (self.target.clone(), slow.clients);
        let run = async move { closed_loop(&target, &requests, clients, duration, seed).await };
        Ok(Some(tokio::spawn(run)))
    }

    /// One slice.
    async fn slice(&self, plan: SlicePlan, arrivals: Arrivals, seed: u64) -> Result<Measured> {
        if let Some(url) = &self.emptied {
            super::stand::empty_redis(url).await?;
        }
        let most = match arrivals {
            Arrivals::Open { rate_per_s } => most_in(rate_per_s, plan.slice),
            Arrivals::Closed { .. } => most_in(UNHEARD_OF_PER_S, plan.slice),
        };
        let requests = self.asks.take(most).await?;
        let slow = self.start_slow(HEAD_START + plan.slice, seed).await?;
        if slow.is_some() {
            tokio::time::sleep(HEAD_START).await;
        }
        let before = Cpu::read(&self.processes)?;
        let target = &self.target;
        let outcome = match arrivals {
            Arrivals::Open { rate_per_s } => {
                open_loop(
                    target,
                    &requests,
                    rate_per_s,
                    plan.slice,
                    OPEN_LOOP_CONNECTIONS,
                    seed,
                )
                .await?
            }
            Arrivals::Closed { clients } => closed_loop(target, &requests, clients, plan.slice, seed).await?,
        };
        let used = Cpu::read(&self.processes)?.since(&before);
        self.enough(&outcome, most)?;
        match slow {
            None => Ok(Measured::new(outcome, used, None)),
            // The next slice begins when the last slow request is answered.
            Some(slow) => {
                let slow = slow.await.context("the slow requests have failed")??;
                Ok(Measured::new(outcome, CpuTimes::default(), Some(slow)))
            }
        }
    }

    /// A request that was sent twice is another request the second time.
    fn enough(&self, outcome: &Outcome, most: usize) -> Result<()> {
        let sent = outcome.completed + outcome.errors.total();
        ensure!(
            !self.asks.are_used_up() || sent <= most as u64,
            "{sent} requests were sent in a slice, of {most} that were made"
        );
        Ok(())
    }

    /// Good answers a second once two short windows in a row agree, or patience ends: what is one-sided, such as cold
    /// caches and pools, is over by then, and the turns take care of the rest.
    pub async fn warm_up(&self, clients: usize) -> Result<f64> {
        let mut previous = 0.0;
        for window in 0..MOST_WINDOWS {
            let most = most_in(UNHEARD_OF_PER_S, WINDOW);
            let requests = self.asks.take(most).await?;
            let outcome = closed_loop(&self.target, &requests, clients, WINDOW, window).await?;
            self.enough(&outcome, most)?;
            ensure!(
                outcome.completed > 0,
                "no request was answered well while warming up: {:?}",
                outcome.errors
            );
            let throughput = outcome.throughput();
            let agrees = (throughput / previous - 1.0).abs() < AGREEMENT;
            // One answer for each client took that long: nothing that is cold takes so long to become warm.
            let is_slow = outcome.elapsed > SLOW_WINDOW;
            previous = throughput;
            if agrees || is_slow {
                break;
            }
        }
        Ok(previous)
    }
}

/// More requests than arrive at random at this rate: five standard deviations more, and some.
fn most_in(rate_per_s: f64, duration: Duration) -> usize {
    let expected = rate_per_s * duration.as_secs_f64();
    (expected + 5.0 * expected.sqrt()).ceil() as usize + 16
}

impl Measured {
    /// Of one run.
    pub fn new(outcome: Outcome, used: CpuTimes, slow: Option<Outcome>) -> Self {
        let answers = outcome.completed.max(1) as f64;
        let each = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e6 / answers);
        let cpu = CpuCost {
            api: each(used.api),
            worker: each(used.worker),
            postgres: each(used.postgres),
            redis: each(used.redis),
            rabbitmq: each(used.rabbitmq),
        };
        Self {
            outcome,
            cpu,
            slow,
            used,
        }
    }

    /// Both together.
    pub fn merged(mut self, other: &Measured) -> Self {
        self.outcome.merge(&other.outcome);
        if let (Some(slow), Some(more)) = (&mut self.slow, &other.slow) {
            slow.merge(more);
        }
        let sum = |a: Option<Duration>, b: Option<Duration>| Some(a? + b?);
        let used = CpuTimes {
            api: sum(self.used.api, other.used.api),
            worker: sum(self.used.worker, other.used.worker),
            postgres: sum(self.used.postgres, other.used.postgres),
            redis: sum(self.used.redis, other.used.redis),
            rabbitmq: sum(self.used.rabbitmq, other.used.rabbitmq),
        };
        Self::new(self.outcome, used, self.slow)
    }
}

/// Runs the blocks. Both sides of a pair of slices get the same arrivals and the same requests.
pub async fn abba(
    first: &Side,
    second: &Side,
    plan: SlicePlan,
    arrivals: Arrivals,
    seed: u64,
    progress: &Progress,
) -> Result<Vec<(Measured, Measured)>> {
    let mut blocks = Vec::with_capacity(plan.blocks);
    for block in 0..plan.blocks as u64 {
        let (early, late) = (seed + 2 * block, seed + 2 * block + 1);
        let a1 = first.slice(plan, arrivals, early).await?;
        let b1 = second.slice(plan, arrivals, early).await?;
        let b2 = second.slice(plan, arrivals, late).await?;
        let a2 = first.slice(plan, arrivals, late).await?;
        blocks.push((a1.merged(&a2), b1.merged(&b2)));
        progress.advance(4);
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use axum::routing::get;

    use super::*;
    use crate::load::Request;

    /// Slow requests under way now, and for each fast one how many it met.
    #[derive(Default)]
    struct Seen {
        under_way: AtomicUsize,
        met: std::sync::Mutex<Vec<usize>>,
    }

    async fn server(seen: Arc<Seen>) -> Target {
        let (slow, fast) = (Arc::clone(&seen), seen);
        let slow = move || async move {
            slow.under_way.fetch_add(1, SeqCst);
            // It only makes the request slow: nothing waits for it to pass.
            tokio::time::sleep(Duration::from_millis(60)).await;
            slow.under_way.fetch_sub(1, SeqCst);
        };
        let fast = move || async move {
            let met = fast.under_way.load(SeqCst);
            fast.met.lock().unwrap().push(met);
        };
        let routes = axum::Router::new()
            .route("/slow", get(slow))
            .route("/fast", get(fast));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new(listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        target
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn slow_requests_are_under_way_in_a_slice_and_over_after_it() {
        let seen = Arc::new(Seen::default());
        let side = Side {
            target: server(Arc::clone(&seen)).await,
            processes: Processes::default(),
            asks: Asks::repeated(vec![Request::get("/fast").unwrap()]),
            emptied: None,
            slow: None,
        };
        let side = side.beside(3, Asks::repeated(vec![Request::get("/slow").unwrap()]));
        let plan = SlicePlan {
            blocks: 1,
            slice: Duration::from_millis(300),
        };
        let measured = side
            .slice(plan, Arrivals::Open { rate_per_s: 200.0 }, 1)
            .await
            .unwrap();

        let met = seen.met.lock().unwrap().clone();
        assert_eq!(met.len() as u64, measured.outcome.completed);
        // Between an answer and the next request of a client there is a moment in which it asks for nothing.
        let alone = met.iter().filter(|slow| **slow == 0).count();
        assert!(
            !met.is_empty() && alone * 10 <= met.len(),
            "{alone} of {} met none",
            met.len()
        );
        assert!(met.iter().all(|slow| *slow <= 3));
        let slow = measured.slow.expect("slow requests were asked for");
        // Each client began at least one before the slice, and all were answered.
        assert!(slow.completed >= 3 && slow.errors.total() == 0);
        assert_eq!(seen.under_way.load(SeqCst), 0);
        assert_eq!(measured.cpu.total(), None);
    }
}
