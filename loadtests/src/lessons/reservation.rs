//! `reservation`: placing orders whose reservation is a transaction of several statements, or one statement.

use std::time::Duration;

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{Explanation, Facts, Load, Once, Plan, Requests, Scenario, arms_of};
use crate::report::{Metric, ScenarioReport, format};

const HEADLINE: &str = "2 lines, 0.25 ms from the stores";
const NEAR: &str = "2 lines, beside the stores";
const FIVE: &str = "5 lines, 0.25 ms from the stores";

/// What only an order in several statements sends.
const BEGIN: &str = "BEGIN";

/// What both arms send once for each order.
const LINES: &str = "insert into order_lines";

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: false,
        arms: arms_of(lesson),
        scenarios,
        expected: "an order of two lines, multi_statement: one `begin`, and lines in a statement without stock; \
                   single_statement: no `begin`, and lines in the statement that takes the stock; an order of five lines: \
                   the former in both",
        signature,
        observed: |seen| {
            format!(
                "{} statements, {} of them `begin`",
                format::number(seen.queries()),
                format::number(seen.calls_of(BEGIN))
            )
        },
        claims: &[],
        files: &[
            ("multi_statement", "api/src/orders/reservation/multi_statement.rs"),
            (
                "single_statement",
                "api/src/orders/reservation/single_statement.rs",
            ),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::None,
        environment: &[],
        answers_note: Some("Ids, numbers, times and tokens are each arm's own, and left out."),
    }
}

fn scenarios(_facts: &Facts) -> Vec<Scenario> {
    let orders = |name: &str, lines: u16, distance| {
        Scenario::of(name, Vec::new())
            .asking(Requests::Once(Once::Orders { lines }))
            .at_distance(distance)
            .with("route", "POST /v1/orders")
            .with("lines", lines)
            .with("payment_ms", 0)
    };
    let far = Duration::from_micros(250);
    vec![
        orders(HEADLINE, 2, far),
        orders(NEAR, 2, Duration::ZERO),
        orders(FIVE, 5, far).under(Load::Counted).showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    for (scenario, arm, expected) in [
        (HEADLINE, "multi_statement", 1.0),
        (HEADLINE, "single_statement", 0.0),
        (FIVE, "multi_statement", 1.0),
        (FIVE, "single_statement", 1.0),
    ] {
        let observed = seen.of(scenario, arm)?;
        require(
            observed.calls_of(BEGIN) == expected && observed.calls_of(LINES) == 1.0,
            || {
                format!(
                    "{arm}, {scenario}: {} `begin` and {} statements with lines, expected {expected} and 1",
                    format::number(observed.calls_of(BEGIN)),
                    format::number(observed.calls_of(LINES))
                )
            },
        )?;
    }
    Ok(())
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let measured = scenarios.iter().map(|scenario| {
        let statements: Vec<String> = scenario
            .arms
            .iter()
            .map(|arm| format::measured(arm.cost.queries_per_request))
            .collect();
        let ratio = scenario
            .ratios
            .iter()
            .find(|ratio| ratio.metric == Metric::LatencyP50);
        let median = ratio.map_or(String::new(), |ratio| {
            format!(", median {}", format::times(ratio.value))
        });
        format!("{}: {} statements{median}", scenario.name, statements.join(" → "))
    });
    Explanation {
        why: format!(
            "Begin, order, lines, stock and commit are five round trips, and one in the other arm ({}). Reading the cart, \
             the payment and recording it are the same in both. An order of five lines is reserved in several statements by \
             both arms.",
            measured.collect::<Vec<_>>().join("; ")
        ),
        notes: vec![
            "Orders of guests, with carts that were filled beforehand, of one unit of each of many variants: no order waits \
             for another one's stock. The payment gateway answers at once; no worker runs, so orders stay paid. Afterwards \
             the lab checks its invariants, and a comparison that violates one has no number."
                .into(),
        ],
    }
}
