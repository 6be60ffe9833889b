//! `pagination`: the same pages by number and by cursor, from the first to the deepest.

use techniques::Lesson;

use super::observation::{Observation, Observations, require};
use super::{ClaimSpec, Direction, Explanation, Facts, Plan, Requests, Scenario, arms_of, suitable};
use crate::report::{Metric, ScenarioReport, format};

/// The page and depth that the claim names.
const CLAIMED_DEPTH: u64 = 100_000;
const CLAIMED_LIMIT: u64 = 100;

const LIMIT: u64 = 20;

/// Depths are reached in steps of the largest page.
const STEP: u64 = 100;
const DEPTHS: [u64; 5] = [0, 1_000, 10_000, 100_000, 900_000];

/// How far buffers of a page may differ with depth when it is sought, and how little they may grow when it is skipped
/// to: a row that is skipped needs at least a tenth of a page.
const MOST_BUFFERS_APART: f64 = 2.0;

const CLAIMS: &[ClaimSpec] = &[ClaimSpec {
    text: "A widely read guide claims that a cursor in place of an offset of 100,000, with pages of 100, takes a response \
           from 820 to 62 ms.",
    ratio: 13.2,
    scenario: "as claimed",
    metric: Metric::LatencyP50,
    arm: "cursor",
    direction: Direction::ArmIsAfter,
    own_arithmetic: None,
}];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "offset: `offset` in the statement, and buffers that grow with depth; cursor: no `offset`, and at any \
                   depth the same buffers (± 2)",
        signature,
        observed: |seen| {
            let skips = if skips(seen) {
                "`offset` in the statement"
            } else {
                "no `offset`"
            };
            format!("{skips}, {} buffers", format::number(seen.buffers()))
        },
        claims: CLAIMS,
        files: &[
            ("offset", "api/src/catalog/browse_products/offset.rs"),
            ("cursor", "api/src/catalog/browse_products/cursor.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::SameStatements,
        environment: &[],
        answers_note: Some("Compared without `next`, which is each arm's own address of the same page."),
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let page = |name: String, depth: u64, limit: u64| {
        Scenario::of(&name, Vec::new())
            .asking(Requests::AtDepth {
                list: "/v1/products?sort=newest".into(),
                depth,
                limit,
            })
            .with("depth", depth)
            .with("limit", limit)
    };
    // A small catalogue has no such depth: then the deepest page that it has.
    let reachable = |limit: u64| facts.products.saturating_sub(10 * limit) / STEP * STEP;
    let claimed = CLAIMED_DEPTH.min(reachable(CLAIMED_LIMIT));
    let mut depths: Vec<u64> = DEPTHS
        .into_iter()
        .filter(|depth| *depth <= reachable(LIMIT))
        .collect();
    if depths.len() < 2 && reachable(LIMIT) > 0 {
        depths.push(reachable(LIMIT));
    }
    let unreachable = DEPTHS.into_iter().filter(|depth| *depth > reachable(LIMIT));
    let name = |depth: u64| match depth {
        0 => "first page".to_owned(),
        _ => format!("depth {depth}"),
    };
    // Only a page at the claimed depth is named so, and only then is the claim judged.
    let headline = match claimed {
        CLAIMED_DEPTH => format!("as claimed: depth {claimed}, {CLAIMED_LIMIT} a page"),
        _ => format!("depth {claimed}, {CLAIMED_LIMIT} a page"),
    };
    std::iter::once(page(headline, claimed, CLAIMED_LIMIT))
        .chain(depths.into_iter().map(|depth| page(name(depth), depth, LIMIT)))
        .chain(
            unreachable
                .map(|depth| page(name(depth), depth, LIMIT).missing(Some(suitable::not_so_deep(facts)))),
        )
        .collect()
}

fn skips(seen: &Observation) -> bool {
    seen.statements
        .iter()
        .any(|statement| statement.text.to_lowercase().contains(" offset "))
}

fn signature(seen: &Observations) -> Result<(), String> {
    let by_arm = |arm: &'static str| {
        seen.seen
            .iter()
            .filter(move |((scenario, of), _)| of == arm && !scenario.ends_with("a page"))
            .map(|(_, seen)| seen)
    };
    let deepest_first = |arm| {
        let mut buffers: Vec<f64> = by_arm(arm).map(Observation::buffers).collect();
        buffers.sort_by(|a, b| b.total_cmp(a));
        buffers
    };
    let (offset, cursor) = (deepest_first("offset"), deepest_first("cursor"));
    let (Some(shallow), Some(deep)) = (offset.last(), offset.first()) else {
        return Err("offset was not observed".into());
    };
    require(by_arm("offset").any(skips), || {
        "offset: no statement with `offset`".into()
    })?;
    require(by_arm("cursor").all(|seen| !skips(seen)), || {
        "cursor: a statement with `offset`".into()
    })?;
    require(deep > &(shallow * 1.5), || {
        format!(
            "offset: {} buffers at the deepest page, {} at the first",
            format::number(*deep),
            format::number(*shallow)
        )
    })?;
    let spread = cursor
        .first()
        .zip(cursor.last())
        .map_or(f64::NAN, |(most, fewest)| most - fewest);
    require(spread <= MOST_BUFFERS_APART, || {
        format!(
            "cursor: buffers differ by {} between depths",
            format::number(spread)
        )
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let value = |scenario: &ScenarioReport, arm: &str| {
        let arm = scenario.arms.iter().find(|found| found.name == arm)?;
        Some((arm.latency_ms.p50?, arm.cost.buffers_per_request.unwrap_or(0.0)))
    };
    let Some(deep) = scenarios.first() else {
        return Explanation::default();
    };
    let depth = deep
        .parameters
        .get("depth")
        .and_then(|depth| depth.as_f64())
        .unwrap_or(0.0);
    let (Some(offset), Some(cursor)) = (value(deep, "offset"), value(deep, "cursor")) else {
        return Explanation::default();
    };
    let row_us = offset.0 / depth.max(1.0) * 1_000.0;
    let matters = scenarios.iter().skip(1).find(|scenario| {
        scenario
            .ratios
            .iter()
            .any(|ratio| ratio.metric == Metric::LatencyP50 && ratio.ci95[0] > 1.2)
    });
    let from = matters.map_or_else(
        || "No depth that was measured makes a difference of a fifth.".to_owned(),
        |scenario| format!("Of the depths that were measured, {} is the first at which the cursor saves a fifth or more.", scenario.name),
    );
    Explanation {
        why: format!(
            "To find the page at {}, offset reads every row before it: {} buffers and {} ms, that is {} µs a skipped row. \
             The cursor descends the index to where the last page ended: {} buffers, {} ms. {from}",
            format::number(depth),
            format::number(offset.1),
            format::number(offset.0),
            format::number(row_us),
            format::number(cursor.1),
            format::number(cursor.0),
        ),
        notes: vec![
            flatness(scenarios),
            format!(
                "The claim's own numbers are 8.2 µs a skipped row (820 ms ÷ 100,000); here it was {} µs. A cursor cannot jump \
             to a page by its number, and on the first pages nothing is gained.",
                format::number(row_us)
            ),
        ],
    }
}

/// How much of the cursor's time and buffers depends on depth.
fn flatness(scenarios: &[ScenarioReport]) -> String {
    let by_depth = scenarios.iter().skip(1).filter_map(|scenario| {
        let arm = scenario.arms.iter().find(|arm| arm.name == "cursor")?;
        Some((scenario, arm.latency_ms.p50?, arm.cost.buffers_per_request?))
    });
    let by_depth: Vec<_> = by_depth.collect();
    let (Some(first), Some(deepest)) = (by_depth.first(), by_depth.last()) else {
        return "The cursor was not measured at several depths.".into();
    };
    let buffers = || by_depth.iter().map(|(_, _, buffers)| *buffers);
    let apart = buffers().fold(f64::MIN, f64::max) - buffers().fold(f64::MAX, f64::min);
    format!(
        "With pages of {LIMIT}, the cursor's p50 at {} is {} times that of the {}, and its mean shared buffers differ by \
         {} between the depths.",
        deepest.0.name,
        format::number(deepest.1 / first.1),
        first.0.name,
        format::number(apart),
    )
}
