//! `order_lines`: placing orders of few and of many lines, whose rows are written one by one or at once.

use std::time::Duration;

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{Explanation, Facts, Load, Once, Plan, Requests, Scenario, arms_of};
use crate::report::{Metric, ScenarioReport, format};

const HEADLINE: &str = "5 lines, 0.25 ms from the stores";
const ONE: &str = "1 line, 0.25 ms from the stores";
const TWENTY: &str = "20 lines, 0.25 ms from the stores";

/// What both arms' statements have in them, and no other.
const INSERT: &str = "insert into order_lines";

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: false,
        arms: arms_of(lesson),
        scenarios,
        expected: "statements that insert lines, row_by_row: exactly 1, 5 and 20 for an order of as many lines; \
                   one_statement: exactly 1",
        signature,
        observed: |seen| {
            format!(
                "{} of {} statements insert lines",
                format::number(seen.calls_of(INSERT)),
                format::number(seen.queries())
            )
        },
        claims: &[],
        files: &[
            ("row_by_row", "api/src/orders/order_lines/row_by_row.rs"),
            ("one_statement", "api/src/orders/order_lines/one_statement.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::None,
        environment: &[],
        answers_note: Some("Ids, numbers, times and tokens are each arm's own, and left out."),
    }
}

fn scenarios(_facts: &Facts) -> Vec<Scenario> {
    let orders = |name: &str, lines: u16| {
        Scenario::of(name, Vec::new())
            .asking(Requests::Once(Once::Orders { lines }))
            .at_distance(Duration::from_micros(250))
            .with("route", "POST /v1/orders")
            .with("lines", lines)
            .with("payment_ms", 0)
    };
    vec![
        orders(HEADLINE, 5),
        orders(TWENTY, 20).under(Load::Counted),
        orders(ONE, 1).showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    for (scenario, lines) in [(ONE, 1.0), (HEADLINE, 5.0), (TWENTY, 20.0)] {
        for (arm, expected) in [("row_by_row", lines), ("one_statement", 1.0)] {
            let inserts = seen.of(scenario, arm)?.calls_of(INSERT);
            require(inserts == expected, || {
                format!(
                    "{arm}: {} statements insert the lines of an order of {lines}",
                    format::number(inserts)
                )
            })?;
        }
    }
    // Where the texts are alike, only the number tells the arms apart, which an order of one line doesn't.
    let of = |arm| Ok::<f64, String>(seen.of(TWENTY, arm)?.queries());
    require(of("row_by_row")? > of("one_statement")?, || {
        "row_by_row does not send more statements than one_statement".to_owned()
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let said = scenarios.iter().filter_map(|scenario| {
        let statements: Vec<String> = scenario
            .arms
            .iter()
            .map(|arm| format::measured(arm.cost.queries_per_request))
            .collect();
        let mut ratios = scenario.ratios.iter();
        let ratio = ratios.find(|ratio| ratio.metric == Metric::LatencyP50)?;
        Some(format!(
            "{}: {} statements, median {}",
            scenario.name,
            statements.join(" → "),
            format::times(ratio.value)
        ))
    });
    Explanation {
        why: format!(
            "Each line that is inserted by itself is a round trip more, while the order's transaction is open ({}). The \
             rest of an order is the same in both: what it reads, reserves, pays and says.",
            said.collect::<Vec<_>>().join("; ")
        ),
        notes: vec![
            "Orders of guests, with carts that were filled beforehand, of one unit of each of many variants: nobody waits for \
             anybody else's stock. The payment gateway answers at once; no worker runs, so orders stay paid. Afterwards stock \
             and sold units add up, every order is paid once, and every paid order has its event, or no number would be here."
                .into(),
            "There is no limit beside it: an order cannot be placed twice with the same statements. How near placing orders \
             comes to what Postgres allows is measured by `backstock-lab limits`."
                .into(),
        ],
    }
}
