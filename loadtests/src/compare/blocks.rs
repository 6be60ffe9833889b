//! ABBA blocks: two sides in turns, in short slices, so that what the machine does meanwhile befalls both.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use local_services::Services;

use super::plan::{Arrivals, OPEN_LOOP_CONNECTIONS, SlicePlan};
use super::progress::Progress;
use super::stand::{processes, target};
use crate::costs::{Cpu, CpuTimes, Processes};
use crate::load::{Outcome, Request, Target, closed_loop, open_loop};
use crate::report::CpuCost;
use crate::shop::Shop;

/// Windows of a warm-up: how long, how many at most, and how far two may differ that agree.
const WINDOW: Duration = Duration::from_millis(250);
const MOST_WINDOWS: u64 = 6;
const AGREEMENT: f64 = 0.15;

/// One side of a comparison.
pub struct Side {
    target: Target,
    processes: Processes,
    requests: Arc<[Request]>,
    /// The logical Redis database to be emptied before each slice, if the scenario asks for it.
    emptied: Option<String>,
}

/// What one side did in a block, or in all.
pub struct Measured {
    /// Latencies, counts.
    pub outcome: Outcome,
    /// CPU for each good answer.
    pub cpu: CpuCost,
    used: CpuTimes,
}

impl Side {
    /// A shop under these requests.
    pub fn new(shop: &Shop, services: &Services, requests: Arc<[Request]>, emptied: Option<String>) -> Self {
        Self {
            target: target(shop),
            processes: processes(shop, services),
            requests,
            emptied,
        }
    }

    /// One slice.
    async fn slice(&self, plan: SlicePlan, arrivals: Arrivals, seed: u64) -> Result<Measured> {
        if let Some(url) = &self.emptied {
            super::stand::empty_redis(url).await?;
        }
        let before = Cpu::read(&self.processes)?;
        let outcome = match arrivals {
            Arrivals::Open { rate_per_s } => {
                let (target, requests) = (&self.target, &self.requests);
                open_loop(
                    target,
                    requests,
                    rate_per_s,
                    plan.slice,
                    OPEN_LOOP_CONNECTIONS,
                    seed,
                )
                .await?
            }
            Arrivals::Closed { clients } => {
                closed_loop(&self.target, &self.requests, clients, plan.slice, seed).await?
            }
        };
        let used = Cpu::read(&self.processes)?.since(&before);
        Ok(Measured::new(outcome, used))
    }

    /// Good answers a second once two short windows in a row agree, or patience ends: what is one-sided, such as cold
    /// caches and pools, is over by then, and the turns take care of the rest.
    pub async fn warm_up(&self, clients: usize) -> Result<f64> {
        let mut previous = 0.0;
        for window in 0..MOST_WINDOWS {
            let outcome = closed_loop(&self.target, &self.requests, clients, WINDOW, window).await?;
            ensure!(
                outcome.completed > 0,
                "no request was answered well while warming up: {:?}",
                outcome.errors
            );
            let throughput = outcome.throughput();
            let agrees = (throughput / previous - 1.0).abs() < AGREEMENT;
            previous = throughput;
            if agrees {
                break;
            }
        }
        Ok(previous)
    }
}

impl Measured {
    fn new(outcome: Outcome, used: CpuTimes) -> Self {
        let answers = outcome.completed.max(1) as f64;
        let each = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e6 / answers);
        let cpu = CpuCost {
            api: each(used.api),
            worker: each(used.worker),
            postgres: each(used.postgres),
            redis: each(used.redis),
            rabbitmq: each(used.rabbitmq),
        };
        Self { outcome, cpu, used }
    }

    /// Both together.
    pub fn merged(mut self, other: &Measured) -> Self {
        self.outcome.merge(&other.outcome);
        let sum = |a: Option<Duration>, b: Option<Duration>| Some(a? + b?);
        let used = CpuTimes {
            api: sum(self.used.api, other.used.api),
            worker: sum(self.used.worker, other.used.worker),
            postgres: sum(self.used.postgres, other.used.postgres),
            redis: sum(self.used.redis, other.used.redis),
            rabbitmq: sum(self.used.rabbitmq, other.used.rabbitmq),
        };
        Self::new(self.outcome, used)
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
