//! Bars of CPU time, buffers and bytes: one an arm, each in parts.

use super::format;
use crate::report::schema::{ArmReport, ScenarioReport};

/// Bars of one quantity, one an arm, each in parts.
pub struct BarGroup {
    /// What the bars show.
    pub title: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// One bar.
pub struct Bar {
    /// The arm.
    pub label: String,
    /// The sum, with its unit.
    pub total: String,
    /// Name, percent of the longest bar, style class.
    pub parts: Vec<(String, String, String)>,
}

/// The bars of a scenario.
pub fn bar_groups(scenario: &ScenarioReport) -> Vec<BarGroup> {
    let cpu = |arm: &ArmReport| {
        arm.cpu_us_per_request
            .parts()
            .map(|(name, us)| (name, us.unwrap_or(0.0)))
            .to_vec()
    };
    let buffers = |arm: &ArmReport| vec![("buffers", arm.cost.buffers_per_request.unwrap_or(0.0))];
    let bytes = |arm: &ArmReport| {
        let cost = &arm.cost;
        vec![
            ("client", cost.response_bytes.unwrap_or(0.0)),
            ("postgres", cost.postgres_bytes.unwrap_or(0.0)),
            ("redis", cost.redis_bytes.unwrap_or(0.0)),
        ]
    };
    [
        bar_group("CPU a request, µs", scenario, &cpu),
        bar_group("Shared buffers a request", scenario, &buffers),
        bar_group(
            "Bytes a request: answer, from Postgres, from Redis",
            scenario,
            &bytes,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

type Parts<'a> = &'a dyn Fn(&ArmReport) -> Vec<(&'static str, f64)>;

fn bar_group(title: &str, scenario: &ScenarioReport, parts: Parts<'_>) -> Option<BarGroup> {
    let sum = |arm: &ArmReport| parts(arm).iter().map(|(_, value)| value).sum::<f64>();
    let longest = scenario.arms.iter().map(sum).fold(0.0, f64::max);
    if longest <= 0.0 {
        return None;
    }
    let bar = |arm: &ArmReport| Bar {
        label: arm.name.clone(),
        total: format::number(sum(arm)),
        parts: parts(arm)
            .into_iter()
            .filter(|(_, value)| *value > 0.0)
            .map(|(name, value)| {
                let text = format!("{name} {}", format::number(value));
                (
                    text,
                    format!("{:.2}", value / longest * 100.0),
                    format!("part-{name}"),
                )
            })
            .collect(),
    };
    Some(BarGroup {
        title: format!("{title} ({})", scenario.name),
        bars: scenario.arms.iter().map(bar).collect(),
    })
}
