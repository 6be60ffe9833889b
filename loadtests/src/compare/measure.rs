//! One scenario: its arms in pairs with the baseline, and what comes out of the slices.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use techniques::Lesson;

use super::asks::Asks;
use super::beside::FastAndSlow;
use super::blocks::{Measured, Side, abba};
use super::plan::{Arrivals, CONCURRENCY, SlicePlan};
use super::progress::Progress;
use super::ratios::{LATENCY_METRICS, Pending, estimate, estimate_pairs, exact, of_capacities};
use super::stand::{Ground, Stand, target};
use super::writes;
use super::written::{fill_latency, merge, note_arrivals, note_saturation, refusals, skeleton};
use crate::lessons::{Before, Load, Observation, Requests, Scenario};
use crate::load::{CapacityPlan, capacity};
use crate::report::{Metric, Mode, ScenarioReport};
use crate::shop::Shop;

/// "Critical flows" under 200 ms is what the guides ask for.
const OBJECTIVE: Duration = Duration::from_millis(200);

/// What a scenario's measurement shares.
pub struct Bench<'a> {
    /// What is compared.
    pub lesson: &'static Lesson,
    /// The stores.
    pub ground: &'a Ground,
    /// The arms, the baseline first.
    pub stands: &'a [Stand],
    /// How long and how often.
    pub plan: SlicePlan,
    /// Quick or full.
    pub mode: Mode,
    /// Shown to whoever waits.
    pub progress: &'a Progress,
    /// What arms take that are warm, by scenario and arm.
    pub settled: RefCell<HashMap<(usize, usize), f64>>,
}

/// The position of the scenario that the noise floor is measured under.
const HEADLINE: usize = 0;

/// A measured scenario, with ratios that wait for their verdicts.
pub struct Measurement {
    /// Costs, latencies and counted ratios.
    pub report: ScenarioReport,
    /// Timed ratios.
    pub pending: Vec<Pending>,
}

impl Measurement {
    /// Whether a metric of an arm and of the baseline is printed. A percentile that is not has no ratio either.
    pub(super) fn is_printed(&self, metric: Metric, arm: usize) -> bool {
        let arms = [&self.report.arms[0], &self.report.arms[arm]];
        match metric {
            Metric::LatencyP95 => arms.iter().all(|arm| arm.latency_ms.p95.is_some()),
            Metric::LatencyP99 => arms.iter().all(|arm| arm.latency_ms.p99.is_some()),
            _ => true,
        }
    }
}

impl Bench<'_> {
    /// Measures every arm against the baseline. `asks`, `slow` (what is under way beside, if anything) and `seen` are in
    /// the arms' order.
    pub async fn measure(
        &self,
        number: usize,
        scenario: &Scenario,
        asks: &[Asks],
        slow: &[Asks],
        seen: &[Observation],
    ) -> Result<Measurement> {
        let mut measurement = Measurement {
            report: skeleton(scenario, self.stands, seen),
            pending: Vec::new(),
        };
        let last = self.stands.len() - 1;
        for arm in 1..=last {
            match (&scenario.requests, &scenario.load) {
                // What indexes cost a writer is asked of the set that most teams have and of the chosen one.
                (Requests::Writes(_), _) if arm < last => {}
                (Requests::Writes(writes), _) => {
                    self.measure_writes(number, *writes, arm, &mut measurement)
                        .await?
                }
                (_, Load::Counted) => {}
                (_, Load::BesideSlow(slow_ones)) => {
                    let of = |arm: usize| FastAndSlow {
                        fast: asks[arm].clone(),
                        slow: slow[arm].clone(),
                    };
                    self.measure_beside(number, slow_ones, [of(0), of(arm)], arm, &mut measurement)
                        .await?
                }
                _ => {
                    self.measure_pair(number, scenario, asks, arm, &mut measurement)
                        .await?
                }
            }
        }
        if matches!(scenario.requests, Requests::Writes(_)) && last > 1 {
            measurement.report.arms.drain(1..last);
        }
        if scenario.load == Load::Counted {
            let how = "one request after the other, counted and not timed";
            measurement
                .report
                .parameters
                .insert("arrivals".into(), json!(how));
        }
        if self.mode == Mode::Full && number == HEADLINE {
            self.measure_capacity(scenario, asks, &mut measurement).await?;
        }
        Ok(measurement)
    }

    async fn measure_pair(
        &self,
        number: usize,
        scenario: &Scenario,
        asks: &[Asks],
        arm: usize,
        into: &mut Measurement,
    ) -> Result<()> {
        let baseline = self.side(scenario, 0, asks);
        let other = self.side(scenario, arm, asks);
        let seed = self.ground.seed.wrapping_mul(1_000_003) + number as u64 * 1_000;
        let mut pending = Vec::new();
        let name = self.stands[arm].arm;
        if let Load::Overload { clients } = scenario.load {
            let arrivals = Arrivals::Closed { clients };
            let blocks = abba(&baseline, &other, self.plan, arrivals, seed, self.progress).await?;
            pending.extend(self.pending(number, arm, Metric::Throughput, &blocks));
            let sides = merge(blocks);
            note_saturation(&mut into.report, arm, &sides);
            for (position, side) in [(0, &sides.0), (arm, &sides.1)] {
                let report = &mut into.report.arms[position];
                fill_latency(report, side);
                report.throughput_rps = Some(side.outcome.throughput());
                refusals(report, side);
            }
            into.report
                .parameters
                .insert("arrivals".into(), json!(arrivals.describe()));
        } else {
            let slower = self
                .settled_rate(number, 0, &baseline)
                .await?
                .min(self.settled_rate(number, arm, &other).await?);
            let arrivals = Arrivals::for_latency(slower, self.plan.slice);
            let blocks = abba(&baseline, &other, self.plan, arrivals, seed, self.progress).await?;
            for metric in LATENCY_METRICS {
                pending.extend(self.pending(number, arm, metric, &blocks));
            }
            let sides = merge(blocks);
            note_saturation(&mut into.report, arm, &sides);
            fill_latency(&mut into.report.arms[0], &sides.0);
            fill_latency(&mut into.report.arms[arm], &sides.1);
            note_arrivals(&mut into.report, arrivals, name, arm + 1 == self.stands.len());
            if scenario.load == Load::LatencyAndThroughput || self.mode == Mode::Full {
                let arrivals = Arrivals::Closed { clients: CONCURRENCY };
                let blocks = abba(&baseline, &other, self.plan, arrivals, seed + 500, self.progress).await?;
                pending.extend(self.pending(number, arm, Metric::Throughput, &blocks));
                let sides = merge(blocks);
                note_saturation(&mut into.report, arm, &sides);
                into.report.arms[0].throughput_rps = Some(sides.0.outcome.throughput());
                into.report.arms[arm].throughput_rps = Some(sides.1.outcome.throughput());
                into.report
                    .parameters
                    .insert("clients".into(), json!(CONCURRENCY));
            }
        }
        pending.retain(|ratio| into.is_printed(ratio.metric, arm));
        into.pending.extend(pending);
        Ok(())
    }

    async fn measure_writes(
        &self,
        number: usize,
        kind: crate::lessons::Writes,
        arm: usize,
        into: &mut Measurement,
    ) -> Result<()> {
        let stands = (&self.stands[0], &self.stands[arm]);
        let pair = writes::measure(kind, stands, self.ground, self.plan, self.progress).await?;
        if let Some(violated) = pair.violated {
            into.report.parameters.insert("void".into(), json!(violated));
            return Ok(());
        }
        let (against, name) = (stands.0.arm, stands.1.arm);
        let wal = (pair.arms.0.cost.wal_bytes, pair.arms.1.cost.wal_bytes);
        into.report
            .ratios
            .extend(exact(Metric::WalBytes, name, against, wal));
        for (metric, values) in pair.pairs {
            if let Some((estimate, blocks)) = estimate_pairs(metric, &values) {
                into.pending.push(Pending {
                    scenario: number,
                    metric,
                    arm: name.into(),
                    against: against.into(),
                    estimate,
                    blocks,
                });
            }
        }
        into.report.arms[0] = pair.arms.0;
        into.report.arms[arm] = pair.arms.1;
        Ok(())
    }

    async fn measure_capacity(
        &self,
        scenario: &Scenario,
        asks: &[Asks],
        into: &mut Measurement,
    ) -> Result<()> {
        let mut generator_bound = Vec::new();
        for (arm, stand) in self.stands.iter().enumerate() {
            // The search for a capacity sends its requests again and again.
            let Asks::Repeated(requests) = &asks[arm] else {
                continue;
            };
            if requests.is_empty() {
                continue;
            }
            self.progress
                .say(&format!("{}: capacity of {}", scenario.name, stand.arm));
            let plan = CapacityPlan {
                start_per_s: into.report.arms[arm].achieved_rps.unwrap_or(100.0).max(10.0),
                p99_below: OBJECTIVE,
                probe: Duration::from_secs(2),
                connections: super::plan::OPEN_LOOP_CONNECTIONS,
                seed: self.ground.seed,
            };
            let found = capacity(&target(stand.shop_at(scenario.distance)), requests, &plan).await?;
            into.report.arms[arm].capacity_rps = found.rate_per_s;
            if found.generator_bound {
                generator_bound.push(stand.arm);
            }
        }
        if !generator_bound.is_empty() {
            let arms = generator_bound.join(", ");
            into.report
                .parameters
                .insert("capacity_bound_by_the_generator".into(), json!(arms));
        }
        into.report.parameters.insert(
            "capacity_objective".into(),
            json!("p99 under 200 ms, errors under 0.1 %"),
        );
        let baseline = into.report.arms[0].clone();
        for arm in &into.report.arms[1..] {
            let found = (baseline.capacity_rps, arm.capacity_rps);
            into.report
                .ratios
                .extend(of_capacities(&arm.name, &baseline.name, found));
        }
        Ok(())
    }

    /// The optimized arm against itself: a further process of it, under the headline's plan.
    pub async fn noise_floor(
        &self,
        scenario: &Scenario,
        asks: &[Asks],
        twin: &Shop,
    ) -> Result<Vec<(Metric, Found)>> {
        let last = self.stands.len() - 1;
        let here = self.side(scenario, last, asks);
        let there = Side::new(
            twin,
            &self.ground.services,
            asks[last].clone(),
            self.emptied(scenario, last),
        );
        // The rate is the one that the arms will get, which the slower one decides.
        let baseline = self.side(scenario, 0, asks);
        let slower = self
            .settled_rate(HEADLINE, 0, &baseline)
            .await?
            .min(self.settled_rate(HEADLINE, last, &here).await?);
        there.warm_up(CONCURRENCY).await?;
        let arrivals = Arrivals::for_latency(slower, self.plan.slice);
        let seed = self.ground.seed.wrapping_mul(1_000_003) + 900_000;
        let blocks = abba(&here, &there, self.plan, arrivals, seed, self.progress).await?;
        Ok(LATENCY_METRICS
            .into_iter()
            .filter_map(|metric| Some((metric, estimate(metric, &blocks)?)))
            .collect())
    }

    /// The optimized arm against itself as a writer.
    pub async fn write_floor(&self, kind: crate::lessons::Writes) -> Result<Vec<(Metric, Found)>> {
        let stand = &self.stands[self.stands.len() - 1];
        let pair = writes::measure(kind, (stand, stand), self.ground, self.plan, self.progress).await?;
        ensure!(
            pair.violated.is_none(),
            "a writer left wrong data: {}",
            pair.violated.unwrap_or_default()
        );
        let throughput = pair
            .pairs
            .iter()
            .find(|(metric, _)| *metric == Metric::Throughput);
        Ok(throughput
            .and_then(|(metric, values)| Some((*metric, estimate_pairs(*metric, values)?)))
            .into_iter()
            .collect())
    }

    /// What an arm takes of a scenario once it is warm. It warms up once: for the noise floor or for its first pair.
    async fn settled_rate(&self, scenario: usize, arm: usize, side: &Side) -> Result<f64> {
        let known = self.settled.borrow().get(&(scenario, arm)).copied();
        if let Some(rate) = known {
            return Ok(rate);
        }
        let rate = side.warm_up(CONCURRENCY).await?;
        self.settled.borrow_mut().insert((scenario, arm), rate);
        Ok(rate)
    }

    fn side(&self, scenario: &Scenario, arm: usize, asks: &[Asks]) -> Side {
        let shop = self.stands[arm].shop_at(scenario.distance);
        let emptied = self.emptied(scenario, arm);
        Side::new(shop, &self.ground.services, asks[arm].clone(), emptied)
    }

    fn emptied(&self, scenario: &Scenario, arm: usize) -> Option<String> {
        (scenario.before == Before::EmptyCache).then(|| self.stands[arm].redis_url.clone())
    }

    pub(super) fn pending(
        &self,
        scenario: usize,
        arm: usize,
        metric: Metric,
        blocks: &[(Measured, Measured)],
    ) -> Option<Pending> {
        let (estimate, blocks) = estimate(metric, blocks)?;
        let (arm, against) = (self.stands[arm].arm.to_owned(), self.stands[0].arm.to_owned());
        Some(Pending {
            scenario,
            metric,
            arm,
            against,
            estimate,
            blocks,
        })
    }
}

/// An estimate and its blocks.
pub type Found = (crate::statistics::Estimate, Vec<f64>);
