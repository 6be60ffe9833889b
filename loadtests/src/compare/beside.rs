//! What is fast by itself, measured while slow requests are under way on the same shop.
//!
//! The scenario has shops of its own, since it may need other settings than the lesson's. They run on the arms' stores.
//! Read next: `blocks.rs`, where slow requests get a head start in each slice.

use anyhow::Result;
use serde_json::json;

use super::asks::Asks;
use super::blocks::{Measured, Side, abba};
use super::measure::{Bench, Found, Measurement};
use super::plan::{Arrivals, CONCURRENCY};
use super::ratios::estimate;
use super::stand::variants;
use super::written::{fill_latency, merge, note_saturation, refusals};
use crate::lessons::SlowOnes;
use crate::report::{ArmReport, Metric};
use crate::shop::{Shop, ShopSettings};

/// Only latency is compared: the processor time of slow and fast requests cannot be told apart.
const METRICS: [Metric; 3] = [Metric::LatencyP50, Metric::LatencyP95, Metric::LatencyP99];

/// What one arm is asked: the fast requests and, beside them, the slow ones.
pub struct FastAndSlow {
    /// What is measured.
    pub fast: Asks,
    /// What is under way meanwhile.
    pub slow: Asks,
}

impl Bench<'_> {
    /// Measures an arm against the baseline. `asks` is the baseline's, the arm's.
    pub(super) async fn measure_beside(
        &self,
        number: usize,
        slow: &SlowOnes,
        asks: [FastAndSlow; 2],
        arm: usize,
        into: &mut Measurement,
    ) -> Result<()> {
        let shops = [
            self.own_shop(slow, 0, "").await?,
            self.own_shop(slow, arm, "").await?,
        ];
        let seed = self.ground.seed.wrapping_mul(1_000_003) + number as u64 * 1_000;
        let blocks = self.blocks_beside(slow, &shops, asks, seed).await?;
        let mut pending = Vec::new();
        for metric in METRICS {
            pending.extend(self.pending(number, arm, metric, &blocks));
        }
        let sides = merge(blocks);
        note_saturation(&mut into.report, arm, &sides);
        for (position, side) in [(0, &sides.0), (arm, &sides.1)] {
            let report = &mut into.report.arms[position];
            fill_latency(report, side);
            refusals(report, side);
            slow_ones(report, side);
        }
        pending.retain(|ratio| into.is_printed(ratio.metric, arm));
        into.pending.extend(pending);
        let parameters = &mut into.report.parameters;
        let arrivals = Arrivals::Open {
            rate_per_s: slow.measured_per_s,
        };
        parameters.insert("offered_rps".into(), json!(slow.measured_per_s));
        parameters.insert("arrivals".into(), json!(arrivals.describe()));
        parameters.insert("slow_clients_beside".into(), json!(slow.clients));
        stop(shops).await
    }

    /// The optimized arm against itself, beside the same slow requests.
    pub(super) async fn floor_beside(
        &self,
        slow: &SlowOnes,
        asks: [FastAndSlow; 2],
    ) -> Result<Vec<(Metric, Found)>> {
        let last = self.stands.len() - 1;
        let shops = [
            self.own_shop(slow, last, "").await?,
            self.own_shop(slow, last, "-twin").await?,
        ];
        let seed = self.ground.seed.wrapping_mul(1_000_003) + 900_000;
        let blocks = self.blocks_beside(slow, &shops, asks, seed).await?;
        let found = METRICS
            .into_iter()
            .filter_map(|metric| Some((metric, estimate(metric, &blocks)?)));
        let found = found.collect();
        stop(shops).await?;
        Ok(found)
    }

    async fn blocks_beside(
        &self,
        slow: &SlowOnes,
        shops: &[Shop; 2],
        asks: [FastAndSlow; 2],
        seed: u64,
    ) -> Result<Vec<(Measured, Measured)>> {
        let [first, second] = asks;
        let mut sides = Vec::new();
        for (shop, asks) in shops.iter().zip([first, second]) {
            let side = Side::new(shop, &self.ground.services, asks.fast, None);
            let side = side.beside(slow.clients, asks.slow);
            side.warm_up(CONCURRENCY).await?;
            sides.push(side);
        }
        let arrivals = Arrivals::Open {
            rate_per_s: slow.measured_per_s,
        };
        abba(&sides[0], &sides[1], self.plan, arrivals, seed, self.progress).await
    }

    /// A process of an arm on the arm's stores, with the scenario's settings.
    async fn own_shop(&self, slow: &SlowOnes, arm: usize, which: &str) -> Result<Shop> {
        let stand = &self.stands[arm];
        let log = format!("{}-{}-beside-slow{which}.log", self.lesson.name, stand.arm);
        let of_the_scenario = slow.environment.iter();
        let mut extra_env = self.ground.environment();
        extra_env.extend(of_the_scenario.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Shop::start(ShopSettings {
            api_binary: self.ground.api_binary.clone(),
            variants: variants(self.lesson, stand.arm),
            database_url: stand.database_url.clone(),
            redis_url: stand.redis_url.clone(),
            amqp_url: None,
            log_path: self.ground.logs.join(log),
            extra_env,
            is_other_build: false,
        })
        .await
    }
}

async fn stop(shops: [Shop; 2]) -> Result<()> {
    for shop in shops {
        shop.stop().await?;
    }
    Ok(())
}

/// Writes down what became of the slow requests: an arm that starves them has not won.
fn slow_ones(report: &mut ArmReport, side: &Measured) {
    let Some(slow) = &side.slow else { return };
    let outcomes = &mut report.outcomes;
    outcomes.insert("slow_answers_per_s".into(), json!(slow.throughput()));
    outcomes.insert("slow_median_ms".into(), json!(slow.p50_ms()));
    outcomes.insert("slow_errors".into(), json!(slow.errors.total()));
}
