//! One lesson's part of the page.

use anyhow::Result;

use super::bars::{BarGroup, bar_groups};
use super::claim::{ClaimView, claim_view};
use super::format;
use super::metrics::{self, MetricRow};
use crate::report::metric::{Metric, Verdict};
use crate::report::plots;
use crate::report::schema::{
    ArmReport, LessonReport, Ratio, Report, SameAnswers, ScenarioReport, Shows, StatementCost,
};

/// One lesson.
pub struct LessonView {
    /// The name in `BACKSTOCK_VARIANTS`.
    pub name: String,
    /// What the comparison answers.
    pub question: String,
    /// Why there is no number, or empty.
    pub failed: String,
    /// Why the data cannot show it, or empty.
    pub skipped: String,
    /// The arms: name, colour, role.
    pub arms: Vec<ArmName>,
    /// `catalog_cache=none`: what differs from the optimized preset, or a sentence that nothing does.
    pub context: String,
    /// Large figures at the top.
    pub headline: Vec<Headline>,
    /// The explanation from measured facts.
    pub why: String,
    /// What else there is to say.
    pub notes: Vec<String>,
    /// Title and SVG.
    pub plots: Vec<(String, String)>,
    /// Bars of CPU time or bytes.
    pub bars: Vec<BarGroup>,
    /// The scenarios' tables.
    pub scenarios: Vec<ScenarioView>,
    /// Where the optimized arm is measurably better.
    pub gains: Vec<String>,
    /// Where it is measurably worse.
    pub losses: Vec<String>,
    /// The claims beside the measurements.
    pub claims: Vec<ClaimView>,
    /// What was measured as the limit, its value, the share reached.
    pub limit: Option<LimitView>,
    /// File and lines.
    pub effort: Vec<(String, String)>,
    /// The signature.
    pub expected: String,
    /// See `expected`.
    pub observed: String,
    /// See `expected`.
    pub holds: bool,
    /// A sentence on the same answers.
    pub answers: String,
    /// Whether all answers agreed.
    pub answers_agree: bool,
}

/// An arm and the colour that it has in all plots.
pub struct ArmName {
    /// Its name.
    pub name: String,
    /// The style sheet's variable.
    pub colour: &'static str,
    /// `baseline`, `optimized` or empty.
    pub role: &'static str,
}

/// One large figure.
pub struct Headline {
    /// What it is.
    pub label: &'static str,
    /// Before and after.
    pub change: String,
    /// The ratio.
    pub ratio: String,
    /// Whether there is none, and words stand in its place.
    pub is_words: bool,
}

/// A scenario's table.
pub struct ScenarioView {
    /// Its name.
    pub name: String,
    /// Parameters as `name value`.
    pub parameters: Vec<String>,
    /// Whether it is there to show a loss.
    pub shows_loss: bool,
    /// Why the data cannot show it, or empty.
    pub skipped: String,
    /// The arms.
    pub arms: Vec<ArmName>,
    /// The arms that have ratios.
    pub compared: Vec<String>,
    /// The rows.
    pub rows: Vec<MetricRow>,
    /// Statements by arm: text, executions, buffers, plan.
    pub statements: Vec<StatementView>,
}

/// One statement of one arm.
pub struct StatementView {
    /// The arm.
    pub arm: String,
    /// `20 × a request, 61 buffers`
    pub cost: String,
    /// The text.
    pub text: String,
    /// Its generic plan's nodes, or why there is none, or empty.
    pub plan: String,
}

/// The limit and the share reached.
pub struct LimitView {
    /// What was measured as the limit.
    pub what: String,
    /// Its value with the unit.
    pub value: String,
    /// In percent, or empty.
    pub reached: String,
    /// The same for a bar, at most 100.
    pub width: String,
}

impl LessonView {
    /// Prepares one lesson. A comparison that failed keeps its proof and loses its numbers.
    pub fn new(lesson: &LessonReport, report: &Report) -> Result<Self> {
        let sound = lesson.holds();
        let scenarios: &[ScenarioReport] = if sound { &lesson.scenarios } else { &[] };
        let measured: Vec<ScenarioReport> = scenarios
            .iter()
            .filter(|scenario| scenario.skipped.is_none())
            .cloned()
            .collect();
        let signature = lesson.signature.clone().unwrap_or_default();
        let same = lesson.same_answers.clone().unwrap_or_default();
        let headline_arms = lesson
            .scenarios
            .first()
            .map_or(&[][..], |scenario| &scenario.arms);
        Ok(Self {
            name: lesson.name.clone(),
            question: lesson.question.clone(),
            failed: if sound { String::new() } else { failure(lesson) },
            skipped: lesson.skipped.clone().unwrap_or_default(),
            arms: arm_names(lesson, headline_arms),
            context: context(lesson),
            headline: if measured.is_empty() {
                Vec::new()
            } else {
                headlines(lesson)
            },
            why: if sound {
                format::html(&lesson.why)
            } else {
                String::new()
            },
            notes: if sound {
                lesson.notes.iter().map(|note| format::html(note)).collect()
            } else {
                Vec::new()
            },
            plots: plots_of(&measured)?,
            bars: measured.first().map_or_else(Vec::new, bar_groups),
            scenarios: scenarios
                .iter()
                .map(|scenario| scenario_view(lesson, scenario, report))
                .collect(),
            gains: differences(lesson, scenarios, Verdict::Better),
            losses: differences(lesson, scenarios, Verdict::Worse),
            claims: if sound {
                lesson.claims.iter().map(claim_view).collect()
            } else {
                Vec::new()
            },
            limit: lesson.limit.as_ref().filter(|_| sound).map(|limit| LimitView {
                what: format::html(&limit.what),
                value: format!("{} {}", format::measured(limit.value), limit.unit),
                reached: limit
                    .reached
                    .map_or_else(String::new, |share| format!("{:.0} %", share * 100.0)),
                width: format!("{:.1}", limit.reached.unwrap_or(0.0).clamp(0.0, 1.0) * 100.0),
            }),
            effort: lesson
                .effort
                .files
                .iter()
                .map(|(file, lines)| (file.clone(), lines.to_string()))
                .collect(),
            expected: format::html(&signature.expected),
            observed: format::html(&signature.observed),
            holds: signature.holds,
            answers: format::html(&answers(&same)),
            answers_agree: same.different == 0,
        })
    }
}

/// Why a comparison is void.
pub fn failure(lesson: &LessonReport) -> String {
    if let Some(reason) = &lesson.failed {
        return reason.clone();
    }
    let signature = lesson.signature.clone().unwrap_or_default();
    if !signature.holds {
        return format!(
            "the switch does not act: expected {}; observed {}",
            signature.expected, signature.observed
        );
    }
    let same = lesson.same_answers.clone().unwrap_or_default();
    let first = same
        .first_difference
        .as_ref()
        .map_or_else(String::new, |first| format!(", first {first}"));
    format!(
        "the arms answer differently: {} of {} requests{first}",
        same.different, same.compared
    )
}

/// The ratio that a table's single line shows: the headline scenario's median latency, else throughput, else any.
pub fn headline_ratio(lesson: &LessonReport) -> Option<&Ratio> {
    let headline = lesson.scenarios.first()?;
    let of = |metric| {
        headline
            .ratios
            .iter()
            .find(|ratio| ratio.metric == metric && ratio.arm == lesson.optimized)
    };
    of(Metric::LatencyP50).or_else(|| of(Metric::Throughput))
}

fn arm_names(lesson: &LessonReport, arms: &[ArmReport]) -> Vec<ArmName> {
    let role = |name: &str| match name {
        name if name == lesson.baseline => "baseline",
        name if name == lesson.optimized => "optimized",
        _ => "",
    };
    let name = |(position, arm): (usize, &ArmReport)| ArmName {
        name: arm.name.clone(),
        colour: plots::arm_colour(position, arms.len()),
        role: role(&arm.name),
    };
    arms.iter().enumerate().map(name).collect()
}

fn context(lesson: &LessonReport) -> String {
    let others: Vec<String> = lesson
        .context
        .iter()
        .filter(|(other, _)| **other != lesson.name)
        .map(|(other, arm)| format!("{other}={arm}"))
        .collect();
    others.join(", ")
}

fn headlines(lesson: &LessonReport) -> Vec<Headline> {
    let Some(scenario) = lesson.scenarios.first() else {
        return Vec::new();
    };
    let arm = |name: &str| scenario.arms.iter().find(|arm| arm.name == name);
    let (Some(before), Some(after)) = (arm(&lesson.baseline), arm(&lesson.optimized)) else {
        return Vec::new();
    };
    let figure = |label, metric, before: Option<f64>, after: Option<f64>| {
        let ratio = scenario
            .ratios
            .iter()
            .find(|ratio| ratio.metric == metric && ratio.arm == lesson.optimized)?;
        Some(Headline {
            label,
            change: format!("{} → {}", format::measured(before), format::measured(after)),
            is_words: ratio.verdict == Verdict::NoMeasurableDifference,
            ratio: match ratio.verdict {
                Verdict::NoMeasurableDifference => "no difference".into(),
                Verdict::Better | Verdict::Worse => format::times(ratio.value),
            },
        })
    };
    let cpu = |arm: &ArmReport| arm.cpu_us_per_request.total();
    [
        figure(
            "median latency, ms",
            Metric::LatencyP50,
            before.latency_ms.p50,
            after.latency_ms.p50,
        ),
        figure(
            "throughput, 1/s",
            Metric::Throughput,
            before.throughput_rps,
            after.throughput_rps,
        ),
        figure("CPU a request, µs", Metric::CpuTotal, cpu(before), cpu(after)),
        figure(
            "statements",
            Metric::Queries,
            before.cost.queries_per_request,
            after.cost.queries_per_request,
        ),
        figure(
            "shared buffers",
            Metric::Buffers,
            before.cost.buffers_per_request,
            after.cost.buffers_per_request,
        ),
        figure(
            "bytes from Postgres",
            Metric::PostgresBytes,
            before.cost.postgres_bytes,
            after.cost.postgres_bytes,
        ),
        figure(
            "bytes of the answer",
            Metric::ResponseBytes,
            before.cost.response_bytes,
            after.cost.response_bytes,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn plots_of(scenarios: &[ScenarioReport]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    if let Some(svg) = plots::latency_by_depth(scenarios)? {
        found.push(("Median latency against depth".to_owned(), svg));
    }
    if let Some(svg) = plots::latency_by_distance(scenarios)? {
        found.push(("Median latency against distance".to_owned(), svg));
    }
    for scenario in scenarios.iter().take(if found.is_empty() { 2 } else { 1 }) {
        if let Some(svg) = plots::latency_distribution(scenario)? {
            found.push((format!("Latency distribution: {}", scenario.name), svg));
        }
    }
    Ok(found)
}

fn plan_line(statement: &StatementCost) -> String {
    match (&statement.plan, &statement.no_plan_because) {
        (Some(nodes), _) => format!("generic plan: {nodes}"),
        (None, Some(reason)) => format!("no plan: {reason}"),
        (None, None) => String::new(),
    }
}

fn scenario_view(lesson: &LessonReport, scenario: &ScenarioReport, report: &Report) -> ScenarioView {
    let statements = scenario.arms.iter().flat_map(|arm| {
        arm.statements.iter().map(|statement| StatementView {
            arm: arm.name.clone(),
            cost: format!(
                "{} × a request, {} rows, {} buffers",
                format::number(statement.calls_per_request),
                format::number(statement.rows_per_request),
                format::number(statement.buffers_per_request)
            ),
            text: statement.text.clone(),
            plan: plan_line(statement),
        })
    });
    ScenarioView {
        name: scenario.name.clone(),
        parameters: scenario
            .parameters
            .iter()
            .map(|(name, value)| format!("{} {}", format::words(name), format::value(value)))
            .collect(),
        shows_loss: scenario.shows == Shows::Loss,
        skipped: scenario.skipped.clone().unwrap_or_default(),
        arms: arm_names(lesson, &scenario.arms),
        compared: scenario.arms.iter().skip(1).map(|arm| arm.name.clone()).collect(),
        rows: metrics::rows(&lesson.name, scenario, report),
        statements: statements.collect(),
    }
}

fn differences(lesson: &LessonReport, scenarios: &[ScenarioReport], verdict: Verdict) -> Vec<String> {
    let of_scenario = |scenario: &ScenarioReport| {
        let found: Vec<String> = scenario
            .ratios
            .iter()
            .filter(|ratio| ratio.arm == lesson.optimized && ratio.verdict == verdict)
            .map(|ratio| format!("{} {}", ratio.metric.label(), format::times(ratio.value)))
            .collect();
        (!found.is_empty()).then(|| format!("{}: {}", scenario.name, found.join(", ")))
    };
    scenarios.iter().filter_map(of_scenario).collect()
}

fn answers(same: &SameAnswers) -> String {
    let note = same
        .note
        .as_ref()
        .map_or_else(String::new, |note| format!(" {note}"));
    let first = same
        .first_difference
        .as_ref()
        .map_or_else(String::new, |first| format!(" First: {first}."));
    format!(
        "{} requests compared, {} answered differently.{first}{note}",
        same.compared, same.different
    )
}
