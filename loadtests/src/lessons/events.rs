//! `events`: what is lost and what is doubled when a process dies between the database and the broker.

use std::time::Duration;

use serde_json::Value;
use tcp_proxy::Direction;
use techniques::Lesson;

use super::observation::{Observations, require};
use super::{Course, Explanation, Facts, LimitKind, Plan, Requests, Scenario, Trial, arms_of};
use crate::report::{ArmReport, ScenarioReport, format};
use crate::trials::ThirdParties;

const BEFORE: &str = "killed before the broker has it";
const AFTER: &str = "killed before the broker's confirmation arrives";
const UNDER_LOAD: &str = "killed under load";
const UNDISTURBED: &str = "nothing is killed";

/// Deaths, and orders in flight at each: fewer than the api takes at once.
const ROUNDS: usize = 3;
const IN_FLIGHT: usize = 20;

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: false,
        arms: arms_of(lesson),
        scenarios,
        expected: "without a worker, dual_write: a message at the broker and no row in `outbox` for an order; outbox: a row and \
                   no message",
        signature,
        observed: |seen| {
            format!(
                "{} messages and {} rows in `outbox` an order",
                format::number(seen.counted("published_in_the_request")),
                format::number(seen.counted("outbox_rows"))
            )
        },
        claims: &[],
        files: &[
            ("dual_write", "api/src/orders/events/dual_write.rs"),
            ("outbox", "api/src/orders/events/outbox.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: LimitKind::None,
        // A relay whose broker falls silent learns of it soon.
        environment: &[("BACKSTOCK_CONFIRM_TIMEOUT_MS", "1000")],
        answers_note: None,
    }
}

fn scenarios(_facts: &Facts) -> Vec<Scenario> {
    let of = |name, course| {
        let trial = Trial {
            third_parties: ThirdParties::AT_ONCE,
            variants: 256,
            worker: "relay",
            course,
        };
        Scenario::of(name, Vec::new()).asking(Requests::Trial(trial))
    };
    let killed = |blackhole| Course::Killed {
        blackhole,
        rounds: ROUNDS,
        orders: IN_FLIGHT,
    };
    let buyers = Course::Buyers {
        clients: 8,
        slice: Duration::from_millis(160),
    };
    vec![
        of(BEFORE, killed(Direction::Requests)),
        of(AFTER, killed(Direction::Responses)).showing_a_loss(),
        of(
            UNDER_LOAD,
            Course::KilledUnderLoad {
                clients: 16,
                kills: 4,
            },
        ),
        of(UNDISTURBED, buyers),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    for (arm, messages, rows) in [("dual_write", 1.0, 0.0), ("outbox", 0.0, 1.0)] {
        let seen = seen.of(BEFORE, arm)?;
        let (published, written) = (
            seen.counted("published_in_the_request"),
            seen.counted("outbox_rows"),
        );
        let as_expected = (published - messages).abs() < 0.01 && (written - rows).abs() < 0.01;
        require(as_expected, || {
            format!(
                "{arm}: {} messages and {} rows an order",
                format::number(published),
                format::number(written)
            )
        })?;
    }
    Ok(())
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let told = |name: &str, what: &str| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name);
        scenario.map_or_else(
            || "–".to_owned(),
            |scenario| each(scenario, |arm| outcome(arm, what)),
        )
    };
    let undisturbed = scenarios.iter().find(|scenario| scenario.name == UNDISTURBED);
    let medians = undisturbed.map(|scenario| {
        format!(
            "When nothing is killed, the answer waits for the broker's confirmation or it doesn't: medians in ms, 8 buyers at \
             a time: {}.",
            each(scenario, |arm| format::measured(arm.latency_ms.p50))
        )
    });
    let under_load = format!(
        "Killed four times while 16 buyers keep coming, what is lost depends on who is where at that moment. Orders paid: {}. \
         Events lost: {}; doubled: {}.",
        told(UNDER_LOAD, "orders_paid"),
        told(UNDER_LOAD, "lost"),
        told(UNDER_LOAD, "doubled")
    );
    Explanation {
        why: format!(
            "{ROUNDS} times, {IN_FLIGHT} orders were paid whose events had not reached the broker when api and worker were \
             killed; every buyer who asked again got the order. Events lost: {}. Committed and not yet said is said by nobody \
             any more; a row that was committed with the order is still there when a relay comes back.",
            told(BEFORE, "lost"),
        ),
        notes: [
            format!(
                "Killed when the broker has the event and nobody knows: lost: {}; doubled: {}. The relay says again what it has \
                 no confirmation for. Doubled under another message id, so that a consumer could not know it again: {}.",
                told(AFTER, "lost"),
                told(AFTER, "doubled"),
                told(AFTER, "doubled_under_another_id"),
            ),
            under_load,
        ]
        .into_iter()
        .chain(medians)
        .collect(),
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
