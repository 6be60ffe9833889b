//! `listing`: a page of products with variants and images, near and far from the database.

use std::time::Duration;

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{ClaimSpec, Direction, Explanation, Facts, Plan, Scenario, arms_of};
use crate::report::{Metric, ScenarioReport, format};

/// The list, and for each product its variants and its images; one more or less, for what the api asks by the way.
const ONE_BY_ONE_APART: f64 = 1.0;

/// Where the api and its database stand in one availability zone, a quarter of a millisecond one way is usual.
const HEADLINE: &str = "0.25 ms from the stores";

const CLAIMS: &[ClaimSpec] = &[ClaimSpec {
    text: "A widely read guide claims that joining what was queried one by one (N+1) takes an order history from 1.2 s to \
           140 ms.",
    ratio: 8.6,
    scenario: HEADLINE,
    metric: Metric::LatencyP50,
    arm: "batched",
    direction: Direction::ArmIsAfter,
    own_arithmetic: None,
}];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "n_plus_one: one statement and two for each product of the page (± 1), 41 on a full page of 20; \
                   batched: at most 2",
        signature,
        observed: |seen| format!("{} statements", format::number(seen.queries())),
        claims: CLAIMS,
        files: &[
            ("n_plus_one", "api/src/catalog/product_details/n_plus_one.rs"),
            ("batched", "api/src/catalog/product_details/batched.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::SameStatements,
        environment: &[],
        answers_note: None,
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let paths = |include: &str| {
        facts
            .popular_categories(64)
            .into_iter()
            .map(|category| format!("/v1/products?category={category}&sort=best_selling{include}"))
            .collect::<Vec<_>>()
    };
    let detailed = paths("&include=variants,images");
    vec![
        Scenario::of(HEADLINE, detailed.clone()).at_distance(Duration::from_micros(250)),
        Scenario::of("beside the stores", detailed.clone()).at_distance(Duration::ZERO),
        Scenario::of("1 ms from the stores", detailed)
            .at_distance(Duration::from_millis(1))
            .only_in_full(),
        Scenario::of("a list without details", paths("")).showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let (n_plus_one, batched) = (seen.of(HEADLINE, "n_plus_one")?, seen.of(HEADLINE, "batched")?);
    let items = n_plus_one.items_per_answer.unwrap_or(0.0);
    let one_by_one = 1.0 + 2.0 * items;
    require(
        items >= 1.0 && (n_plus_one.queries() - one_by_one).abs() <= ONE_BY_ONE_APART,
        || {
            format!(
                "n_plus_one: {} statements for a page of {} products",
                format::number(n_plus_one.queries()),
                format::number(items)
            )
        },
    )?;
    require(batched.queries() <= 2.0, || {
        format!("batched: {} statements a page", format::number(batched.queries()))
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let p50 = |scenario: &ScenarioReport| {
        scenario
            .ratios
            .iter()
            .find(|ratio| ratio.metric == Metric::LatencyP50)
            .map(|ratio| ratio.value)
    };
    let by_distance: Vec<String> = scenarios
        .iter()
        .filter(|scenario| scenario.parameters.contains_key("distance_ms"))
        .filter_map(|scenario| Some(format!("{}: × {}", scenario.name, format::number(p50(scenario)?))))
        .collect();
    let trips = |arm: &str| {
        let headline = scenarios.first()?;
        headline
            .arms
            .iter()
            .find(|found| found.name == arm)?
            .cost
            .round_trips_per_request
    };
    Explanation {
        why: format!(
            "A page of 20 products takes {} round trips when details are asked for product by product, {} when they are \
             asked for at once. Each waits for the one before, so distance multiplies them ({}).",
            format::measured(trips("n_plus_one")),
            format::measured(trips("batched")),
            by_distance.join("; ")
        ),
        notes: vec![
            "With the cache on, the many statements are paid on a miss only; the context switches it off. A list that asks \
             for no details sends one statement in either arm: there the technique changes nothing."
                .into(),
        ],
    }
}
