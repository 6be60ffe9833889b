//! `order_history`: a page of a customer's orders with their lines, near and far from the database.

use std::time::Duration;

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{ClaimSpec, Direction, Explanation, Facts, Plan, Requests, Scenario, arms_of, suitable};
use crate::report::{Metric, ScenarioReport, format};

/// Where the api and its database stand in one availability zone, a quarter of a millisecond one way is usual.
const HEADLINE: &str = "0.25 ms from the stores";

const PATH: &str = "/v1/orders?limit=20";

/// One more or less in twenty requests, for what the api asks by the way.
const APART: f64 = 0.05;

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
        is_core: false,
        arms: arms_of(lesson),
        scenarios,
        expected: "n_plus_one: one statement and one for each order of the page, 21 on a full page of 20; batched: 2",
        signature,
        observed: |seen| format!("{} statements", format::number(seen.queries())),
        claims: CLAIMS,
        files: &[
            ("n_plus_one", "api/src/orders/history/n_plus_one.rs"),
            ("batched", "api/src/orders/history/batched.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::SameStatements,
        environment: &[],
        answers_note: None,
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let history = |name: &str, customers: &[String]| {
        Scenario::of(name, Vec::new())
            .asking(Requests::SignedIn {
                customers: customers.to_vec(),
                path: PATH,
                session_bytes: 0,
            })
            .with("route", PATH)
    };
    let frequent = &facts.frequent_buyers;
    vec![
        history(HEADLINE, frequent).at_distance(Duration::from_micros(250)),
        history("beside the stores", frequent).at_distance(Duration::ZERO),
        history("1 ms from the stores", frequent)
            .at_distance(Duration::from_millis(1))
            .only_in_full(),
        history("one order, 0.25 ms from the stores", &facts.once_buyers)
            .at_distance(Duration::from_micros(250))
            .missing(suitable::nobody_bought_once(facts))
            .showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let (n_plus_one, batched) = (seen.of(HEADLINE, "n_plus_one")?, seen.of(HEADLINE, "batched")?);
    let orders = n_plus_one.items_per_answer.unwrap_or(0.0);
    require(
        orders >= 2.0 && (n_plus_one.queries() - orders - 1.0).abs() <= APART,
        || {
            format!(
                "n_plus_one: {} statements for a page of {} orders",
                format::number(n_plus_one.queries()),
                format::number(orders)
            )
        },
    )?;
    require((batched.queries() - 2.0).abs() <= APART, || {
        format!("batched: {} statements a page", format::number(batched.queries()))
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let p50 = |scenario: &ScenarioReport| {
        let mut ratios = scenario.ratios.iter();
        let found = ratios.find(|ratio| ratio.metric == Metric::LatencyP50)?;
        Some(format!("{}: {}", scenario.name, format::times(found.value)))
    };
    let by_distance: Vec<String> = scenarios.iter().filter_map(p50).collect();
    let trips = |arm: &str| {
        let arms = &scenarios.first()?.arms;
        let found = arms.iter().find(|found| found.name == arm)?;
        found.cost.round_trips_per_request
    };
    Explanation {
        why: format!(
            "A page of 20 orders takes {} round trips when lines are asked for order by order, {} when they are asked for at \
             once. Each waits for the one before, so distance multiplies them ({}).",
            format::measured(trips("n_plus_one")),
            format::measured(trips("batched")),
            by_distance.join("; ")
        ),
        notes: vec![
            "A history is nobody else's, so no cache of finished answers helps it: unlike the catalogue's lists it pays for \
             its statements each time."
                .into(),
        ],
    }
}
