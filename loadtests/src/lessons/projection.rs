//! `projection`: the same list from whole rows and from the columns that it shows.

use std::time::Duration;

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{ClaimSpec, Direction, Explanation, Facts, Plan, Scenario, arms_of, suitable};
use crate::report::{Metric, ScenarioReport, format};

const HEADLINE: &str = "a page of 100";

/// A description has about 1 KB, so a whole row is at least this many times wider than what a list shows.
const WIDER: f64 = 2.0;

const CLAIMS: &[ClaimSpec] = &[ClaimSpec {
    text: "A widely read guide claims that explicit column lists in place of `select *`, or fewer queries, take 50 to 80 % \
           off the query time. The lower end is a factor of 2.",
    ratio: 2.0,
    scenario: HEADLINE,
    metric: Metric::LatencyP50,
    arm: "narrow",
    direction: Direction::ArmIsAfter,
    own_arithmetic: None,
}];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: false,
        arms: arms_of(lesson),
        scenarios,
        expected: "all_columns: Postgres sends at least twice the bytes that narrow makes it send, for the same answer",
        signature,
        observed: |seen| {
            format!(
                "{} bytes from Postgres",
                format::measured(seen.cost.postgres_bytes)
            )
        },
        claims: CLAIMS,
        files: &[
            ("all_columns", "api/src/catalog/list_columns/all_columns.rs"),
            ("narrow", "api/src/catalog/list_columns/narrow.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::SameStatements,
        environment: &[],
        answers_note: None,
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let paths = |limit: u32| {
        facts
            .popular_categories(64)
            .into_iter()
            .map(|category| format!("/v1/products?category={category}&sort=best_selling&limit={limit}"))
            .collect::<Vec<_>>()
    };
    let detail = facts
        .popular_slugs(200)
        .into_iter()
        .map(|slug| format!("/v1/products/{slug}"))
        .collect();
    vec![
        Scenario::of(HEADLINE, paths(100)),
        Scenario::of("a page of 20, 0.25 ms from the stores", paths(20))
            .at_distance(Duration::from_micros(250))
            .only_in_full(),
        Scenario::of("one product, which shows its description", detail).showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let bytes = |arm| Ok::<f64, String>(seen.of(HEADLINE, arm)?.cost.postgres_bytes.unwrap_or(0.0));
    let (all, narrow) = (bytes("all_columns")?, bytes("narrow")?);
    // The columns that are left out are narrow as well where descriptions are short; some bytes they are at any length.
    let wide = suitable::descriptions_are_wide(seen.description_bytes);
    let wider = if wide { all >= WIDER * narrow } else { all > narrow };
    require(narrow > 0.0 && wider, || {
        format!(
            "all_columns {} bytes, narrow {} bytes",
            format::number(all),
            format::number(narrow)
        )
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let Some(headline) = scenarios.first() else {
        return Explanation::default();
    };
    let of = |name: &str| headline.arms.iter().find(|arm| arm.name == name);
    let (Some(all), Some(narrow)) = (of("all_columns"), of("narrow")) else {
        return Explanation::default();
    };
    Explanation {
        why: format!(
            "For the same answer of {} bytes Postgres sends {} bytes of whole rows, or {} of the columns that are shown. \
             CPU of Postgres goes from {} to {} µs a request, of the api from {} to {} µs; the buffers that are read stay \
             ({} and {}), since a row is stored as a whole.",
            format::measured(narrow.cost.response_bytes),
            format::measured(all.cost.postgres_bytes),
            format::measured(narrow.cost.postgres_bytes),
            format::measured(all.cpu_us_per_request.postgres),
            format::measured(narrow.cpu_us_per_request.postgres),
            format::measured(all.cpu_us_per_request.api),
            format::measured(narrow.cpu_us_per_request.api),
            format::measured(all.cost.buffers_per_request),
            format::measured(narrow.cost.buffers_per_request),
        ),
        notes: vec!["A single product shows its description: there both arms read the same columns.".into()],
    }
}
