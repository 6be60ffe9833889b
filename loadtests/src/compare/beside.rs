//! What is fast by itself, measured while slow requests are under way on the same shop.
//!
//! The scenario has shops of its own, since it may need other settings than the lesson's. They run on the arms' stores.
//! Read next: `blocks.rs`, where slow requests get a head start in each slice.

use anyhow::Result;
use serde_json::json;

use super::blocks::{Measured, Side, abba};
use super::measure::{Bench, Measurement};
use super::plan::{Arrivals, CONCURRENCY};
use super::requests;
use super::stand::variants;
use super::written::{fill_latency, merge, note_saturation, refusals};
use crate::lessons::{Scenario, SlowOnes};
use crate::report::{ArmReport, Metric};
use crate::shop::{Shop, ShopSettings};

impl Bench<'_> {
    /// Measures an arm against the baseline. Only latency is compared: the processor time of slow and fast requests
    /// cannot be told apart.
    pub(super) async fn measure_beside(
        &self,
        number: usize,
        scenario: &Scenario,
        slow: &SlowOnes,
        paths: &[Vec<String>],
        arm: usize,
        into: &mut Measurement,
    ) -> Result<()> {
        let shops = (self.own_shop(slow, 0).await?, self.own_shop(slow, arm).await?);
        let side = |shop: &Shop, arm: usize| -> Result<Side> {
            let requests = requests::to_send(&paths[arm], scenario.accept_encoding)?;
            Side::new(shop, &self.ground.services, requests, None).beside(slow)
        };
        let sides = (side(&shops.0, 0)?, side(&shops.1, arm)?);
        sides.0.warm_up(CONCURRENCY).await?;
        sides.1.warm_up(CONCURRENCY).await?;
        let arrivals = Arrivals::Open {
            rate_per_s: slow.measured_per_s,
        };
        let seed = self.ground.seed.wrapping_mul(1_000_003) + number as u64 * 1_000;
        let blocks = abba(&sides.0, &sides.1, self.plan, arrivals, seed, self.progress).await?;
        into.pending
            .extend(self.pending(number, arm, Metric::LatencyP50, &blocks));
        let sides = merge(blocks);
        note_saturation(&mut into.report, arm, &sides);
        for (position, side) in [(0, &sides.0), (arm, &sides.1)] {
            let report = &mut into.report.arms[position];
            fill_latency(report, side);
            refusals(report, side);
            slow_ones(report, side);
        }
        let parameters = &mut into.report.parameters;
        parameters.insert("offered_rps".into(), json!(slow.measured_per_s));
        parameters.insert("arrivals".into(), json!(arrivals.describe()));
        parameters.insert("slow_clients_beside".into(), json!(slow.clients));
        shops.0.stop().await?;
        shops.1.stop().await
    }

    /// A process of an arm on the arm's stores, with the scenario's settings.
    async fn own_shop(&self, slow: &SlowOnes, arm: usize) -> Result<Shop> {
        let stand = &self.stands[arm];
        let log = format!("{}-{}-beside-slow.log", self.lesson.name, stand.arm);
        let environment = slow.environment.iter();
        Shop::start(ShopSettings {
            api_binary: self.ground.api_binary.clone(),
            variants: variants(self.lesson, stand.arm),
            database_url: stand.database_url.clone(),
            redis_url: stand.redis_url.clone(),
            amqp_url: None,
            log_path: self.ground.logs.join(log),
            extra_env: environment
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        })
        .await
    }
}

/// Writes down what became of the slow requests: an arm that starves them has not won.
fn slow_ones(report: &mut ArmReport, side: &Measured) {
    let Some(slow) = &side.slow else { return };
    let outcomes = &mut report.outcomes;
    outcomes.insert("slow_answers_per_s".into(), json!(slow.throughput()));
    outcomes.insert("slow_median_ms".into(), json!(slow.p50_ms()));
    outcomes.insert("slow_errors".into(), json!(slow.errors.total()));
}
