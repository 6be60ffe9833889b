//! What is timed: the arms in turns, in slices, each block in the reverse order of the one before.
//!
//! In the headline's blocks the optimized arm has two turns: the second is what the first is held against to know the
//! noise. A slice ends when the work that it made is done, so that a queue's work is charged to whoever filled it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Arm, Run, outcome, plenty};
use crate::compare::blocks::Measured;
use crate::compare::plan::{Arrivals, BLOCKS, OPEN_LOOP_CONNECTIONS};
use crate::compare::progress::Progress;
use crate::compare::ratios::{LATENCY_METRICS, Pending, estimate_pairs, value};
use crate::compare::written::{fill_latency, refusals};
use crate::costs::Cpu;
use crate::lessons::{Course, Plan, Trial};
use crate::load::{closed_loop, open_loop};
use crate::report::{Metric, Mode, NoiseFloor};
use crate::trials::{Carts, PLENTY, done_times};

/// Clients of the probe for the rate, and how long it takes.
const PROBE_CLIENTS: usize = 64;
const PROBE: Duration = Duration::from_millis(1_000);

/// How long the work of a slice may take after it.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// Slices of the full mode are so much longer.
const FULL_SLICES: u32 = 4;

/// One scenario of slices.
pub(super) struct Paced<'a> {
    pub(super) plan: &'a Plan,
    pub(super) mode: Mode,
    pub(super) number: usize,
    pub(super) trial: &'a Trial,
    pub(super) progress: &'a Progress,
}

impl Paced<'_> {
    pub(super) async fn run(&self, arms: &mut [Arm], run: &mut Run) -> Result<()> {
        let mut carts = Vec::new();
        for arm in arms.iter_mut() {
            carts.push(plenty(arm, self.trial).await?);
            arm.town.since = uuid::Uuid::now_v7();
        }
        let arrivals = self.arrivals(arms, &mut carts).await?;
        let mut sequence: Vec<usize> = (0..arms.len()).collect();
        if self.number == 0 {
            sequence.push(arms.len() - 1);
        }
        let mut measured: Vec<Vec<Measured>> = sequence.iter().map(|_| Vec::new()).collect();
        for block in 0..BLOCKS {
            let turns: Vec<usize> = match block % 2 {
                0 => (0..sequence.len()).collect(),
                _ => (0..sequence.len()).rev().collect(),
            };
            for turn in turns {
                let arm = sequence[turn];
                let slice = self.slice(&mut arms[arm], &mut carts[arm], arrivals, block as u64);
                measured[turn].push(slice.await?);
            }
            self.progress.advance(sequence.len() as u64);
        }
        self.ratios(arms, &measured, run);
        if self.number == 0 {
            self.floors(&measured, run);
        }
        self.report(arms, &carts, arrivals, measured, run).await
    }

    /// A closed loop as it is stated; an open one at half of what the baseline takes. Either way, all are warm then.
    async fn arrivals(&self, arms: &mut [Arm], carts: &mut [Carts]) -> Result<Arrivals> {
        match self.trial.course {
            Course::Arrivals { at_most_per_s, .. } => {
                let probe = Arrivals::Closed {
                    clients: PROBE_CLIENTS,
                };
                let taken = self.timed(&mut arms[0], &mut carts[0], probe, PROBE, 99).await?;
                let arrivals = Arrivals::Open {
                    rate_per_s: (taken.outcome.throughput() / 2.0).min(at_most_per_s),
                };
                for (arm, carts) in arms.iter_mut().zip(carts).skip(1) {
                    self.slice(arm, carts, arrivals, 99).await?;
                }
                Ok(arrivals)
            }
            Course::Buyers { clients, .. } => {
                let arrivals = Arrivals::Closed { clients };
                for (arm, carts) in arms.iter_mut().zip(carts) {
                    self.slice(arm, carts, arrivals, 99).await?;
                }
                Ok(arrivals)
            }
            _ => anyhow::bail!("this course has no slices"),
        }
    }

    async fn slice(
        &self,
        arm: &mut Arm,
        carts: &mut Carts,
        arrivals: Arrivals,
        seed: u64,
    ) -> Result<Measured> {
        self.timed(arm, carts, arrivals, self.slice_length(), seed).await
    }

    fn slice_length(&self) -> Duration {
        let slice = match self.trial.course {
            Course::Arrivals { slice, .. } | Course::Buyers { slice, .. } => slice,
            _ => Duration::ZERO,
        };
        slice * if self.mode == Mode::Full { FULL_SLICES } else { 1 }
    }

    async fn timed(
        &self,
        arm: &mut Arm,
        carts: &mut Carts,
        arrivals: Arrivals,
        duration: Duration,
        seed: u64,
    ) -> Result<Measured> {
        // More than can be asked for: an order that comes twice is answered from memory, and nothing is measured.
        const MOST_PER_S: f64 = 3_000.0;
        let most_per_s = match arrivals {
            Arrivals::Open { rate_per_s } => rate_per_s * 2.0,
            Arrivals::Closed { clients } => {
                let answer_s = (self.trial.third_parties.payment.median_ms / 2_000.0).max(1e-9);
                (clients as f64 / answer_s).min(MOST_PER_S)
            }
        };
        let enough = (most_per_s * duration.as_secs_f64()).ceil() as usize + 100;
        let requests = carts.orders(&mut arm.town.monitor, enough).await?;
        let target = arm.town.shop().target();
        let processes = arm.town.processes();
        let before = Cpu::read(&processes)?;
        let outcome = match arrivals {
            Arrivals::Open { rate_per_s } => {
                open_loop(
                    &target,
                    &requests,
                    rate_per_s,
                    duration,
                    OPEN_LOOP_CONNECTIONS,
                    seed,
                )
                .await?
            }
            Arrivals::Closed { clients } => closed_loop(&target, &requests, clients, duration, seed).await?,
        };
        self.drain(arm).await?;
        let used = Cpu::read(&processes)?.since(&before);
        let asked = outcome.completed + outcome.errors.total();
        ensure!(
            asked <= enough as u64,
            "{}: {asked} orders were placed in a slice, of {enough} carts",
            arm.name
        );
        Ok(Measured::new(outcome, used, None))
    }

    /// Waits for the worker, as far as it works.
    async fn drain(&self, arm: &mut Arm) -> Result<()> {
        match self.trial.worker {
            "" => Ok(()),
            "relay" => arm.town.wait_until_said(DRAIN_PATIENCE).await,
            _ => {
                let left = arm.town.drain(DRAIN_PATIENCE).await?;
                ensure!(
                    left == 0,
                    "{}: {left} orders were not done within {DRAIN_PATIENCE:?}",
                    arm.name
                );
                Ok(())
            }
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        let closed = matches!(self.trial.course, Course::Buyers { .. });
        let throughput = closed.then_some(Metric::Throughput);
        // Tails need more samples than slices of orders have.
        let tails = [Metric::LatencyP95, Metric::LatencyP99];
        LATENCY_METRICS
            .into_iter()
            .filter(|metric| !tails.contains(metric))
            .chain(throughput)
            .collect()
    }

    fn ratios(&self, arms: &[Arm], measured: &[Vec<Measured>], run: &mut Run) {
        for (position, arm) in arms.iter().enumerate().skip(1) {
            for metric in self.metrics() {
                let Some((estimate, blocks)) = pairs(metric, &measured[0], &measured[position]) else {
                    continue;
                };
                run.pending.push(Pending {
                    scenario: self.number,
                    metric,
                    arm: arm.name.to_owned(),
                    against: arms[0].name.to_owned(),
                    estimate,
                    blocks,
                });
            }
        }
    }

    fn floors(&self, measured: &[Vec<Measured>], run: &mut Run) {
        let [.., one, other] = measured else { return };
        for metric in self.metrics() {
            if let Some((estimate, blocks)) = pairs(metric, one, other) {
                run.floors.push(NoiseFloor {
                    metric,
                    ratio: estimate.value,
                    ci95: [estimate.ci95.0, estimate.ci95.1],
                    lesson: self.plan.lesson.name.to_owned(),
                    blocks,
                });
            }
        }
    }

    async fn report(
        &self,
        arms: &mut [Arm],
        carts: &[Carts],
        arrivals: Arrivals,
        measured: Vec<Vec<Measured>>,
        run: &mut Run,
    ) -> Result<()> {
        let parameters = &mut run.report.parameters;
        parameters.insert("arrivals".into(), json!(arrivals.describe()));
        parameters.insert("slice_ms".into(), json!(self.slice_length().as_millis() as u64));
        if let Arrivals::Open { rate_per_s } = arrivals {
            parameters.insert("offered_rps".into(), json!(rate_per_s));
        }
        let mut saturated = Vec::new();
        for (position, (arm, blocks)) in arms.iter_mut().zip(measured).enumerate() {
            let whole = blocks.into_iter().reduce(|whole, more| whole.merged(&more));
            let whole = whole.expect("a plan has at least one block");
            let report = &mut run.report.arms[position];
            fill_latency(report, &whole);
            refusals(report, &whole);
            if let Arrivals::Closed { .. } = arrivals {
                report.throughput_rps = Some(whole.outcome.throughput());
            }
            if whole.outcome.saturated {
                saturated.push(arm.name.to_owned());
            }
            let books = arm.town.books(carts[position].goods()).await?;
            let units_at_first = i64::from(PLENTY) * carts[position].goods().variants.len() as i64;
            outcome(&mut run.report, position, "deadlocks", books.deadlocks);
            let miscounted = books.miscounted(units_at_first);
            outcome(&mut run.report, position, "units_miscounted", miscounted);
            let promises = arm.name != "read_then_write";
            let wrong_stock =
                (promises && miscounted != 0).then(|| format!("{miscounted} units are sold and still there"));
            if let Some(fault) = books.violated().or(wrong_stock) {
                run.violated.get_or_insert(format!("{}: {fault}", arm.name));
            }
            if self.trial.worker.contains("consumers") {
                let times = done_times(&mut arm.town.monitor, arm.town.since).await?;
                outcome(&mut run.report, position, "done_s_p50", times.quantile_s(0.5));
                outcome(&mut run.report, position, "done_s_p99", times.p99_s());
                outcome(&mut run.report, position, "done_s_last", times.last_s());
                outcome(&mut run.report, position, "orders_never_done", times.undone);
            }
        }
        run.report.note_saturated_generator(saturated);
        Ok(())
    }
}

fn pairs(
    metric: Metric,
    baseline: &[Measured],
    arm: &[Measured],
) -> Option<(crate::statistics::Estimate, Vec<f64>)> {
    let values: Option<Vec<(f64, f64)>> = baseline
        .iter()
        .zip(arm)
        .map(|(baseline, arm)| Some((value(metric, baseline)?, value(metric, arm)?)))
        .collect();
    estimate_pairs(metric, &values?)
}
