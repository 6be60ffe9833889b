//! The rows of a scenario's table: each metric, each arm's value, each arm's ratio to the baseline.

use super::format;
use crate::report::metric::{Metric, Verdict};
use crate::report::schema::{ArmReport, Ratio, Report, ScenarioReport};

/// One metric of a scenario.
pub struct MetricRow {
    /// As a reader says it, with its unit.
    pub label: String,
    /// One value an arm, in the arms' order.
    pub values: Vec<String>,
    /// One cell for each arm but the baseline.
    pub ratios: Vec<RatioCell>,
    /// Starts a new group of rows.
    pub starts_group: bool,
}

/// One ratio with its interval.
pub struct RatioCell {
    /// `× 12.3`
    pub value: String,
    /// `11.9 … 12.7`, or `counted`.
    pub interval: String,
    /// A small picture of value, interval and noise floor.
    pub picture: String,
    /// `better`, `worse` or `no measurable difference`; empty without a ratio.
    pub verdict: &'static str,
    /// The style class of the verdict.
    pub class: &'static str,
}

/// A row before it is formatted: the label, the group, the metric that ratios carry, and where its value is.
type Source = (&'static str, u8, Option<Metric>, fn(&ArmReport) -> Option<f64>);

const SOURCES: [Source; 25] = [
    ("statements", 0, Some(Metric::Queries), |arm| {
        arm.cost.queries_per_request
    }),
    ("rows", 0, Some(Metric::Rows), |arm| arm.cost.rows_per_request),
    ("shared buffers", 0, Some(Metric::Buffers), |arm| {
        arm.cost.buffers_per_request
    }),
    ("round trips", 0, Some(Metric::RoundTrips), |arm| {
        arm.cost.round_trips_per_request
    }),
    ("bytes of the request", 0, Some(Metric::RequestBytes), |arm| {
        arm.cost.request_bytes
    }),
    ("bytes of the answer", 0, Some(Metric::ResponseBytes), |arm| {
        arm.cost.response_bytes
    }),
    ("bytes from Postgres", 0, Some(Metric::PostgresBytes), |arm| {
        arm.cost.postgres_bytes
    }),
    ("bytes from Redis", 0, None, |arm| arm.cost.redis_bytes),
    ("bytes of write-ahead log", 0, Some(Metric::WalBytes), |arm| {
        arm.cost.wal_bytes
    }),
    ("CPU, all, µs", 1, Some(Metric::CpuTotal), |arm| {
        arm.cpu_us_per_request.total()
    }),
    ("CPU, api, µs", 1, Some(Metric::CpuApi), |arm| {
        arm.cpu_us_per_request.api
    }),
    ("CPU, Postgres, µs", 1, Some(Metric::CpuPostgres), |arm| {
        arm.cpu_us_per_request.postgres
    }),
    ("CPU, Redis, µs", 1, None, |arm| arm.cpu_us_per_request.redis),
    ("CPU, worker, µs", 1, None, |arm| arm.cpu_us_per_request.worker),
    ("CPU, RabbitMQ, µs", 1, None, |arm| {
        arm.cpu_us_per_request.rabbitmq
    }),
    ("latency, median, ms", 2, Some(Metric::LatencyP50), |arm| {
        arm.latency_ms.p50
    }),
    ("latency, p95, ms", 2, Some(Metric::LatencyP95), |arm| {
        arm.latency_ms.p95
    }),
    ("latency, p99, ms", 2, Some(Metric::LatencyP99), |arm| {
        arm.latency_ms.p99
    }),
    ("latency, p99.9, ms", 2, None, |arm| arm.latency_ms.p999),
    (
        "throughput, closed loop, 1/s",
        3,
        Some(Metric::Throughput),
        |arm| arm.throughput_rps,
    ),
    ("capacity, 1/s", 3, Some(Metric::Capacity), |arm| arm.capacity_rps),
    ("achieved rate, 1/s", 4, None, |arm| arm.achieved_rps),
    ("samples", 4, None, |arm| {
        (arm.latency_ms.samples > 0).then_some(arm.latency_ms.samples as f64)
    }),
    ("errors", 4, None, |arm| arm.errors.map(|errors| errors as f64)),
    ("not sent in time", 4, None, |arm| {
        arm.dropped.map(|dropped| dropped as f64)
    }),
];

/// The rows of one scenario that anything was measured for.
pub fn rows(lesson: &str, scenario: &ScenarioReport, report: &Report) -> Vec<MetricRow> {
    let axis = Axis::over(&scenario.ratios);
    let mut rows = Vec::new();
    let mut last_group = 0;
    for (label, group, metric, read) in SOURCES {
        let values: Vec<Option<f64>> = scenario.arms.iter().map(read).collect();
        // Rows of nothing but zeros say nothing, except for errors. Rows without a value were not measured here.
        let zeros = values.iter().flatten().all(|value| *value == 0.0);
        let silent = values.iter().all(Option::is_none) || (group != 4 && zeros);
        if silent {
            continue;
        }
        let ratio_of = |arm: &ArmReport| {
            let found = scenario
                .ratios
                .iter()
                .find(|ratio| Some(ratio.metric) == metric && ratio.arm == arm.name);
            found.map_or_else(RatioCell::empty, |ratio| {
                RatioCell::new(ratio, &axis, floor_of(report, lesson, ratio.metric))
            })
        };
        rows.push(MetricRow {
            label: label.to_owned(),
            values: values.into_iter().map(format::measured).collect(),
            ratios: scenario.arms.iter().skip(1).map(ratio_of).collect(),
            starts_group: group != last_group && !rows.is_empty(),
        });
        last_group = group;
    }
    rows.extend(outcome_rows(scenario));
    rows
}

fn outcome_rows(scenario: &ScenarioReport) -> Vec<MetricRow> {
    let mut names: Vec<&String> = scenario.arms.iter().flat_map(|arm| arm.outcomes.keys()).collect();
    names.sort();
    names.dedup();
    let row = |name: &String| MetricRow {
        label: format::words(name),
        values: scenario
            .arms
            .iter()
            .map(|arm| arm.outcomes.get(name).map_or_else(|| "–".into(), format::value))
            .collect(),
        ratios: scenario.arms.iter().skip(1).map(|_| RatioCell::empty()).collect(),
        starts_group: false,
    };
    names.into_iter().map(row).collect()
}

fn floor_of(report: &Report, lesson: &str, metric: Metric) -> Option<[f64; 2]> {
    let floor = report
        .noise_floor
        .iter()
        .find(|floor| floor.metric == metric && floor.lesson == lesson)?;
    Some(floor.ci95)
}

impl RatioCell {
    fn empty() -> Self {
        Self {
            value: String::new(),
            interval: String::new(),
            picture: String::new(),
            verdict: "",
            class: "",
        }
    }

    fn new(ratio: &Ratio, axis: &Axis, floor: Option<[f64; 2]>) -> Self {
        Self {
            value: format::times(ratio.value),
            interval: if ratio.exact {
                "counted".into()
            } else {
                format::interval(ratio.ci95)
            },
            picture: axis.picture(ratio, floor.filter(|_| !ratio.exact)),
            verdict: ratio.verdict.as_str(),
            class: match ratio.verdict {
                Verdict::Better => "better",
                Verdict::Worse => "worse",
                Verdict::NoMeasurableDifference => "same",
            },
        }
    }
}

/// A logarithmic axis that all ratios of a table share, so that the eye can compare them.
struct Axis {
    low: f64,
    high: f64,
}

const PICTURE_WIDTH: f64 = 130.0;
const PICTURE_MARGIN: f64 = 5.0;

impl Axis {
    fn over(ratios: &[Ratio]) -> Self {
        let ends = || {
            ratios
                .iter()
                .flat_map(|ratio| ratio.ci95)
                .filter(|end| end.is_finite() && *end > 0.0)
        };
        Self {
            low: ends().fold(0.5, f64::min).ln(),
            high: ends().fold(2.0, f64::max).ln(),
        }
    }

    fn position(&self, ratio: f64) -> f64 {
        let share = (ratio.max(1e-9).ln() - self.low) / (self.high - self.low);
        PICTURE_MARGIN + share.clamp(0.0, 1.0) * (PICTURE_WIDTH - 2.0 * PICTURE_MARGIN)
    }

    /// The noise floor as a band, the line of no difference, the interval, the value.
    fn picture(&self, ratio: &Ratio, floor: Option<[f64; 2]>) -> String {
        let one = self.position(1.0);
        let band = floor.map_or_else(String::new, |ends| {
            let wide = ends[0].ln().abs().max(ends[1].ln().abs()).exp();
            let (from, to) = (self.position(1.0 / wide), self.position(wide));
            format!(
                r#"<rect class="floor" x="{from:.1}" y="1" width="{:.1}" height="16"/>"#,
                (to - from).max(1.0)
            )
        });
        let (low, high, value) = (
            self.position(ratio.ci95[0]),
            self.position(ratio.ci95[1]),
            self.position(ratio.value),
        );
        format!(
            r#"<svg class="forest" viewBox="0 0 {PICTURE_WIDTH} 18" width="{PICTURE_WIDTH}" height="18" aria-hidden="true">{band}<line class="one" x1="{one:.1}" x2="{one:.1}" y1="0" y2="18"/><line class="ci" x1="{low:.1}" x2="{high:.1}" y1="9" y2="9"/><circle cx="{value:.1}" cy="9" r="4"/></svg>"#
        )
    }
}
