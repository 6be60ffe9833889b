//! `stock`: one SKU that many want at once, with payments that take no time and with payments that take theirs.

use std::time::Duration;

use serde_json::Value;
use techniques::Lesson;

use super::observation::{Observation, Observations, require};
use super::{ClaimSpec, Course, Explanation, Facts, LimitKind, Plan, Requests, Scenario, Trial, arms_of};
use crate::report::{ArmReport, ScenarioReport, format};
use crate::trials::{Delay, ThirdParties};

const PLENTY: &str = "one SKU with plenty of units";
const SLOW_PAYMENTS: &str = "one SKU, payments take their time";
const SCARCE: &str = "one SKU with fewer units than buyers";
const SPREAD: &str = "many SKUs, payments take their time";

/// Buyers at a time: more than the pool has connections, so that somebody always waits. Each of them is one payment more
/// that a slice of `row_lock_through_payment` takes to end.
const BUYERS: usize = 10;

/// Those of the rush.
const CROWD: usize = 32;

const AT_ONCE: ThirdParties = ThirdParties::AT_ONCE;

/// Only the payment happens in the request.
const PAYMENTS: ThirdParties = ThirdParties {
    payment: Delay::of(120.0, 400.0),
    ..ThirdParties::AT_ONCE
};

/// The shop's own line for a SKU lets two through at a time, and gives up after a second, as a wait for a lock does: with
/// these bounds, no arm would meet the crowd that this lesson is about. Here everybody meets at the row, in all arms alike.
const WITHOUT_A_LINE: &[(&str, &str)] = &[
    ("BACKSTOCK_DATABASE_LOCK_TIMEOUT_MS", "30000"),
    ("BACKSTOCK_SKU_WAITERS", "64"),
    ("BACKSTOCK_SKU_QUEUE_TIMEOUT_MS", "30000"),
];

/// Nobody claims a factor for it.
const CLAIMS: &[ClaimSpec] = &[];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "read_then_write: reads `stock_quantity` by id without a lock, and writes what is left; row_lock and \
                   row_lock_through_payment: the same read `for update`, and the latter is paid before its commit; conditional: `stock_quantity >= …` in the statement that takes the units",
        signature,
        observed: |seen| how(seen).to_owned(),
        claims: CLAIMS,
        files: &[
            (
                "read_then_write",
                "api/src/orders/reserve_stock/read_then_write.rs",
            ),
            (
                "row_lock_through_payment",
                "api/src/orders/reserve_stock/row_lock_through_payment.rs",
            ),
            ("row_lock", "api/src/orders/reserve_stock/row_lock.rs"),
            ("conditional", "api/src/orders/reserve_stock/conditional.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: LimitKind::None,
        environment: WITHOUT_A_LINE,
        answers_note: Some(
            "Compared are orders one after the other, good ones and bad ones. What differs between the arms takes two orders \
             at a time, and is counted by the scenarios.",
        ),
    }
}

fn scenarios(_facts: &Facts) -> Vec<Scenario> {
    let trial = |third_parties, variants, course| {
        Requests::Trial(Trial {
            third_parties,
            variants,
            worker: "",
            course,
        })
    };
    let buyers = |slice_ms| Course::Buyers {
        clients: BUYERS,
        slice: Duration::from_millis(slice_ms),
    };
    let rush = Course::Rush {
        units: 200,
        buyers: 600,
        clients: CROWD,
    };
    let of = |name, trial| Scenario::of(name, Vec::new()).asking(trial);
    vec![
        of(PLENTY, trial(AT_ONCE, 1, buyers(160))),
        of(SLOW_PAYMENTS, trial(PAYMENTS, 1, buyers(160))),
        of(SCARCE, trial(AT_ONCE, 1, rush)),
        of(SPREAD, trial(PAYMENTS, 256, buyers(300))).only_in_full(),
    ]
}

/// Which of the ways an arm's statements show. An order that is paid in the transaction of its stock commits once.
fn how(seen: &Observation) -> &'static str {
    let reads_stock = |text: &str| text.contains("select id, stock_quantity from variants");
    let texts = || seen.statements.iter().map(|statement| statement.text.as_str());
    if texts().any(|text| reads_stock(text) && text.contains("for update")) {
        "the stock is read `for update`"
    } else if texts().any(reads_stock) {
        "the stock is read without a lock"
    } else if texts().any(|text| text.contains("stock_quantity >=") && text.contains("update variants")) {
        "`stock_quantity >= …` in the update"
    } else {
        "none of the ways"
    }
}

fn signature(seen: &Observations) -> Result<(), String> {
    let expected = [
        ("read_then_write", "the stock is read without a lock"),
        ("row_lock_through_payment", "the stock is read `for update`"),
        ("row_lock", "the stock is read `for update`"),
        ("conditional", "`stock_quantity >= …` in the update"),
    ];
    for (arm, expected) in expected {
        let observed = how(seen.of(PLENTY, arm)?);
        require(observed == expected, || format!("{arm}: {observed}"))?;
    }
    Ok(())
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let scenario = |name: &str| scenarios.iter().find(|scenario| scenario.name == name);
    let (Some(plenty), Some(slow), Some(scarce)) =
        (scenario(PLENTY), scenario(SLOW_PAYMENTS), scenario(SCARCE))
    else {
        return Explanation::default();
    };
    let sales = |scenario: &ScenarioReport| each(scenario, |arm| format::measured(arm.throughput_rps));
    let refused = each(slow, |arm| outcome(arm, "answered_5xx"));
    Explanation {
        why: format!(
            "Sales a second of one SKU to {BUYERS} buyers at a time while payments take no time: {}. While a payment takes a \
             median of 120 ms: {}. `row_lock_through_payment` holds the row while the bank thinks, so that there is one sale a \
             payment, and an order that waits for the row keeps a connection of the pool: answered with a 5xx, for want of a \
             connection: {refused}. The others have no transaction open while they wait for the money.",
            sales(plenty),
            sales(slow),
        ),
        notes: vec![
            format!(
                "Of 200 units and 600 buyers, {CROWD} at a time, were sold: {}. Oversold, so many units that never were: {}. \
                 Units that the shop thought it had left: {}.",
                each(scarce, |arm| outcome(arm, "units_sold")),
                each(scarce, |arm| outcome(arm, "oversold")),
                each(scarce, |arm| outcome(arm, "units_left")),
            ),
            format!(
                "With plenty of units nobody notices at once, but the count is wrong all the same: units that are sold and \
                 still counted as there: {}.",
                each(plenty, |arm| outcome(arm, "units_miscounted")),
            ),
            format!(
                "Deadlocks: {}. Everybody locks SKUs in the order of their ids.",
                each(scarce, |arm| outcome(arm, "deadlocks")),
            ),
        ],
    }
}

fn each(scenario: &ScenarioReport, say: impl Fn(&ArmReport) -> String) -> String {
    let arms = scenario
        .arms
        .iter()
        .map(|arm| format!("{} {}", arm.name, say(arm)));
    arms.collect::<Vec<_>>().join(", ")
}

fn outcome(arm: &ArmReport, name: &str) -> String {
    arm.outcomes
        .get(name)
        .map_or_else(|| "–".to_owned(), |value: &Value| format::value(value))
}
