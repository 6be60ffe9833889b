//! Capacity: the highest rate at which a server still meets its objective.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::{Outcome, Request, Target, open_loop};

/// The bracket grows and shrinks by this factor.
const STEP: f64 = 1.5;

/// Bisection ends when the bracket is narrower than this: the capacity is then known to about ±10 %.
const NARROW: f64 = 1.12;

/// How much lower a rate is tried after its confirmation has failed.
const RETREAT: f64 = 1.1;

/// Probes in either phase, at most: ×1.5 sixteen times is a factor of 650.
const MOST_STEPS: usize = 16;

const MOST_ERRORS: f64 = 0.001;
const LEAST_ACHIEVED: f64 = 0.99;

/// Answers that a p99 needs, and the length beyond which a probe at a low rate is not stretched to get them.
const SAMPLES: f64 = 10_000.0;
const LONGEST_PROBE: Duration = Duration::from_secs(30);

/// How to look for the capacity.
#[derive(Debug, Clone, Copy)]
pub struct CapacityPlan {
    /// The rate to begin with.
    pub start_per_s: f64,
    /// The objective: p99 under this.
    pub p99_below: Duration,
    /// The length of a probe. Where the rate gives fewer samples than a p99 needs, a probe is stretched, to 30 s at
    /// most.
    pub probe: Duration,
    /// Connections: at most so many requests are under way.
    pub connections: usize,
    /// Seed of the arrivals.
    pub seed: u64,
}

/// What the search found.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// The highest confirmed rate; `None` when no rate that was tried met the objective.
    pub rate_per_s: Option<f64>,
    /// Whether the generator itself was too busy in the lowest probe that failed: the server may take more.
    pub generator_bound: bool,
    /// Every probe, in order.
    pub probes: Vec<Probe>,
}

/// One rate that was tried.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Arrivals a second that were asked for.
    pub rate_per_s: f64,
    /// Whether the objective was met.
    pub met: bool,
    /// What was seen.
    pub outcome: Outcome,
}

/// Brackets the capacity in steps of ×1.5, bisects it to ±10 %, and confirms it with a probe of twice the length.
///
/// A rate is met when p99 is under the objective, fewer than 0.1 % of requests fail, and at least 99 % of the offered
/// rate is achieved.
pub async fn capacity(target: &Target, requests: &Arc<[Request]>, plan: &CapacityPlan) -> Result<Capacity> {
    search(plan, async |rate, duration, seed| {
        open_loop(target, requests, rate, duration, plan.connections, seed).await
    })
    .await
}

async fn search(
    plan: &CapacityPlan,
    load: impl AsyncFnMut(f64, Duration, u64) -> Result<Outcome>,
) -> Result<Capacity> {
    let mut probes = Probes {
        plan,
        load,
        done: Vec::new(),
    };
    let Some((mut low, mut high)) = probes.bracket().await? else {
        return Ok(probes.conclude(None));
    };
    while high / low > NARROW {
        let middle = (low * high).sqrt();
        if probes.meets(middle, plan.probe).await? {
            low = middle;
        } else {
            high = middle;
        }
    }
    for _ in 0..MOST_STEPS {
        if probes.meets(low, plan.probe * 2).await? {
            return Ok(probes.conclude(Some(low)));
        }
        low /= RETREAT;
    }
    Ok(probes.conclude(None))
}

struct Probes<'a, Load> {
    plan: &'a CapacityPlan,
    load: Load,
    done: Vec<Probe>,
}

impl<Load: AsyncFnMut(f64, Duration, u64) -> Result<Outcome>> Probes<'_, Load> {
    /// A rate that is met and the next one that is not.
    async fn bracket(&mut self) -> Result<Option<(f64, f64)>> {
        let mut rate = self.plan.start_per_s;
        let first_met = self.meets(rate, self.plan.probe).await?;
        for _ in 0..MOST_STEPS {
            let next = if first_met { rate * STEP } else { rate / STEP };
            if self.meets(next, self.plan.probe).await? != first_met {
                return Ok(Some((rate.min(next), rate.max(next))));
            }
            rate = next;
        }
        Ok(None)
    }

    async fn meets(&mut self, rate_per_s: f64, probe: Duration) -> Result<bool> {
        let for_samples = Duration::from_secs_f64(SAMPLES * 1.05 / rate_per_s);
        let duration = probe.max(for_samples.min(LONGEST_PROBE));
        let seed = self.plan.seed.wrapping_add(self.done.len() as u64);
        let outcome = (self.load)(rate_per_s, duration, seed).await?;
        let met = self.objective_met(&outcome);
        self.done.push(Probe {
            rate_per_s,
            met,
            outcome,
        });
        Ok(met)
    }

    /// Judges by the histogram itself, whose p99 decides here even where it has too few samples to be printed.
    fn objective_met(&self, outcome: &Outcome) -> bool {
        let p99 = Duration::from_nanos(outcome.total.value_at_quantile(0.99));
        outcome.completed > 0
            && p99 < self.plan.p99_below
            && outcome.error_share() < MOST_ERRORS
            && outcome
                .achieved_share()
                .is_some_and(|share| share >= LEAST_ACHIEVED)
    }

    fn conclude(self, rate_per_s: Option<f64>) -> Capacity {
        let failed = self.done.iter().filter(|probe| !probe.met);
        let lowest = failed.min_by(|left, right| left.rate_per_s.total_cmp(&right.rate_per_s));
        let generator_bound = lowest.is_some_and(|probe| probe.outcome.saturated);
        Capacity {
            rate_per_s,
            generator_bound,
            probes: self.done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: CapacityPlan = CapacityPlan {
        start_per_s: 100.0,
        p99_below: Duration::from_millis(50),
        probe: Duration::from_secs(2),
        connections: 64,
        seed: 1,
    };

    /// A server that answers within 1 ms up to its capacity, and in 100 ms beyond.
    fn server(capacity: f64) -> impl AsyncFnMut(f64, Duration, u64) -> Result<Outcome> {
        async move |rate, duration, _| {
            let mut outcome = Outcome::empty();
            let latency = Duration::from_millis(if rate <= capacity { 1 } else { 100 });
            for _ in 0..(rate * duration.as_secs_f64()) as u64 {
                outcome.record(0, latency, latency, 1);
            }
            outcome.offered = Some(outcome.completed as f64 / duration.as_secs_f64());
            outcome.finish(duration, Duration::ZERO);
            Ok(outcome)
        }
    }

    #[tokio::test]
    async fn the_search_ends_within_a_tenth_of_the_truth() {
        for truth in [7.0, 95.0, 101.0, 1_000.0, 3_333.0] {
            let found = search(&PLAN, server(truth)).await.unwrap();
            let rate = found.rate_per_s.unwrap();
            assert!(rate <= truth && truth / rate <= NARROW, "{rate} for {truth}");
            let confirmation = found.probes.last().unwrap();
            assert!(confirmation.met && confirmation.rate_per_s == rate);
        }
    }

    #[tokio::test]
    async fn a_server_that_never_meets_it_has_none() {
        assert_eq!(search(&PLAN, server(0.0)).await.unwrap().rate_per_s, None);
    }

    #[tokio::test]
    async fn errors_and_a_rate_that_is_not_achieved_count_against_it() {
        let failing = search(&PLAN, async |rate, duration, seed| {
            let mut outcome = server(f64::INFINITY)(rate, duration, seed).await?;
            if rate > 300.0 {
                outcome.errors.statuses = [((0, 503), outcome.completed / 500)].into();
            }
            Ok(outcome)
        });
        let rate = failing.await.unwrap().rate_per_s.unwrap();
        assert!((267.0..=300.0).contains(&rate), "{rate}");

        let lagging = search(&PLAN, async |rate, duration, seed| {
            let mut outcome = server(f64::INFINITY)(rate, duration, seed).await?;
            outcome.finish(
                duration.mul_f64(if rate > 300.0 { 1.02 } else { 1.0 }),
                Duration::ZERO,
            );
            Ok(outcome)
        });
        let rate = lagging.await.unwrap().rate_per_s.unwrap();
        assert!((267.0..=300.0).contains(&rate), "{rate}");
    }
}
