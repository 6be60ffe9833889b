//! What is written down of a scenario: counted costs at first, then what the slices brought.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::blocks::Measured;
use super::plan::Arrivals;
use super::ratios::exact;
use super::stand::Stand;
use crate::lessons::{Before, Observation, Plan, Scenario};
use crate::load::{percentile_ms, to_base64};
use crate::report::{ArmReport, Cost, Latency, Metric, Ratio, ScenarioReport};

/// The report of a scenario before anything was timed: counted costs and their ratios.
pub fn skeleton(scenario: &Scenario, stands: &[Stand], seen: &[Observation]) -> ScenarioReport {
    let arms: Vec<ArmReport> = stands
        .iter()
        .zip(seen)
        .map(|(stand, seen)| ArmReport {
            name: stand.arm.to_owned(),
            cost: seen.cost.clone(),
            statements: seen.statements.clone(),
            outcomes: hit_ratio(scenario, seen),
            ..ArmReport::default()
        })
        .collect();
    ScenarioReport {
        name: scenario.name.clone(),
        parameters: scenario.parameters.clone(),
        shows: scenario.shows,
        ratios: counted_ratios(&arms),
        arms,
        skipped: None,
    }
}

/// The report of a scenario that the data cannot show: its arms, and nothing that was measured of them.
pub fn not_measured(plan: &Plan, scenario: &Scenario, reason: String) -> ScenarioReport {
    let arms = plan.arms.iter().map(|arm| ArmReport {
        name: (*arm).to_owned(),
        ..ArmReport::default()
    });
    ScenarioReport {
        name: scenario.name.clone(),
        parameters: scenario.parameters.clone(),
        shows: scenario.shows,
        arms: arms.collect(),
        ratios: Vec::new(),
        skipped: Some(reason),
    }
}

fn hit_ratio(scenario: &Scenario, seen: &Observation) -> BTreeMap<String, Value> {
    let mut outcomes = BTreeMap::new();
    if seen.hit_ratio > 0.0 {
        outcomes.insert("hit_ratio".to_owned(), json!(seen.hit_ratio));
    }
    if scenario.before == Before::EmptyCache {
        outcomes.insert("hit_ratio_at_most".to_owned(), json!(seen.repeated));
    }
    outcomes
}

type ReadCost = fn(&Cost) -> Option<f64>;

pub(super) fn counted_ratios(arms: &[ArmReport]) -> Vec<Ratio> {
    const COUNTED: [(Metric, ReadCost); 7] = [
        (Metric::Queries, |cost| cost.queries_per_request),
        (Metric::Rows, |cost| cost.rows_per_request),
        (Metric::Buffers, |cost| cost.buffers_per_request),
        (Metric::RoundTrips, |cost| cost.round_trips_per_request),
        (Metric::ResponseBytes, |cost| cost.response_bytes),
        (Metric::PostgresBytes, |cost| cost.postgres_bytes),
        (Metric::RequestBytes, |cost| cost.request_bytes),
    ];
    let Some((baseline, others)) = arms.split_first() else {
        return Vec::new();
    };
    let of_arm = |arm: &ArmReport| {
        COUNTED
            .iter()
            .filter_map(|(metric, read)| {
                exact(
                    *metric,
                    &arm.name,
                    &baseline.name,
                    (read(&baseline.cost), read(&arm.cost)),
                )
            })
            .collect::<Vec<_>>()
    };
    others.iter().flat_map(of_arm).collect()
}

/// All blocks as one.
pub(super) fn merge(blocks: Vec<(Measured, Measured)>) -> (Measured, Measured) {
    blocks
        .into_iter()
        .reduce(|(a, b), (more_a, more_b)| (a.merged(&more_a), b.merged(&more_b)))
        .expect("a plan has at least one block")
}

/// Writes down what a side did.
pub(super) fn fill_latency(report: &mut ArmReport, side: &Measured) {
    let outcome = &side.outcome;
    report.cpu_us_per_request = side.cpu.clone();
    report.latency_ms = Latency {
        p50: outcome.p50_ms(),
        p95: outcome.p95_ms(),
        p99: outcome.p99_ms(),
        p999: outcome.p999_ms(),
        samples: outcome.total.len(),
    };
    report.errors = Some(outcome.errors.total());
    report.achieved_rps = Some(outcome.throughput());
    report.dropped = outcome.offered.map(|_| outcome.dropped);
    report.histogram = Some(outcome.histogram_base64());
    report.first_byte_histogram = Some(to_base64(&outcome.first_byte));
    // How much of the latency may be the generator's own: it shares the machine.
    if let Some(late) = percentile_ms(&outcome.lateness, 0.95, 1) {
        report
            .outcomes
            .insert("generator_lateness_p95_ms".into(), json!(late));
    }
    report.outcomes.insert(
        "generator_share_of_a_core".into(),
        json!(outcome.generator_share()),
    );
}

/// Writes down for which of the two arms the generator itself was too busy, in any slice: such numbers say at least as
/// much of the generator as of the arm.
pub(super) fn note_saturation(report: &mut ScenarioReport, arm: usize, sides: &(Measured, Measured)) {
    let saturated = [(0, &sides.0), (arm, &sides.1)]
        .into_iter()
        .filter(|(_, side)| side.outcome.saturated)
        .map(|(position, _)| report.arms[position].name.clone());
    let saturated: Vec<String> = saturated.collect();
    report.note_saturated_generator(saturated);
}

/// Writes down how a side refused.
pub(super) fn refusals(report: &mut ArmReport, side: &Measured) {
    let errors = &side.outcome.errors;
    report
        .outcomes
        .insert("answered_5xx".into(), json!(errors.status_5xx()));
    report.outcomes.insert(
        "broken_or_timed_out".into(),
        json!(errors.connect + errors.timeout + errors.broken),
    );
}

/// Writes down how requests arrived.
pub(super) fn note_arrivals(report: &mut ScenarioReport, arrivals: Arrivals, arm: &str, is_optimized: bool) {
    let rate = match arrivals {
        Arrivals::Open { rate_per_s } => json!(rate_per_s),
        Arrivals::Closed { .. } => Value::Null,
    };
    if is_optimized {
        report.parameters.insert("offered_rps".into(), rate);
        report
            .parameters
            .insert("arrivals".into(), json!(arrivals.describe()));
    } else {
        report.parameters.insert(format!("offered_rps_with_{arm}"), rate);
    }
}
