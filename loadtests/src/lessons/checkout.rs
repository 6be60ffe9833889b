//! `checkout`: the same orders at the same rate, when the answer comes and when everything is done.

use std::time::Duration;

use serde_json::Value;
use techniques::Lesson;

use super::observation::{Observations, require};
use super::{
    ClaimSpec, Course, Direction, Explanation, Facts, LimitKind, Plan, Requests, Scenario, Trial, arms_of,
};
use crate::report::{ArmReport, Metric, ScenarioReport, format};
use crate::trials::ThirdParties;

const USUAL: &str = "third parties take their time";
const AT_ONCE: &str = "third parties answer at once";
const OUTAGE: &str = "the mail server is away for a moment";

/// What the guides promise for what a queue does later.
const DONE_WITHIN_S: f64 = 5.0;

const CLAIMS: &[ClaimSpec] = &[ClaimSpec {
    text: "A widely read guide claims that a checkout whose email, inventory and label go to a queue answers in 98 ms \
               instead of 2.1 s, with everything done within 5 s.",
    ratio: 21.4,
    scenario: USUAL,
    metric: Metric::LatencyP50,
    arm: "queued",
    direction: Direction::ArmIsAfter,
    own_arithmetic: None,
}];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "without a worker, inline: a mail an order, and `insert into shipments` among its statements; queued: neither",
        signature,
        observed: |seen| {
            let ships = if seen.any_statement_has("into shipments") {
                ""
            } else {
                "no "
            };
            format!(
                "{} mails an order, {ships}`insert into shipments`",
                format::number(seen.counted("mails_in_the_request"))
            )
        },
        claims: CLAIMS,
        files: &[
            ("inline", "api/src/orders/checkout/inline.rs"),
            ("queued", "api/src/orders/checkout/queued.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: LimitKind::None,
        // What a worker may ask of third parties at a time; the retries of a test, not of a night.
        environment: &[
            ("BACKSTOCK_LABELS_IN_FLIGHT", "64"),
            ("BACKSTOCK_EMAILS_IN_FLIGHT", "64"),
            ("BACKSTOCK_RETRY_DELAYS_MS", "500,1000"),
        ],
        answers_note: None,
    }
}

fn scenarios(_facts: &Facts) -> Vec<Scenario> {
    let of = |name, third_parties, course| {
        let trial = Trial {
            third_parties,
            variants: 256,
            worker: "relay,consumers",
            course,
        };
        Scenario::of(name, Vec::new())
            .with("worker_concurrency", 64)
            .asking(Requests::Trial(trial))
    };
    let arrivals = |at_most_per_s, slice_ms| Course::Arrivals {
        at_most_per_s,
        slice: Duration::from_millis(slice_ms),
    };
    vec![
        of(USUAL, ThirdParties::USUAL, arrivals(50.0, 300)),
        of(AT_ONCE, ThirdParties::AT_ONCE, arrivals(100.0, 200)).showing_a_loss(),
        of(OUTAGE, ThirdParties::AT_ONCE, Course::MailOutage { orders: 20 }),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let (inline, queued) = (seen.of(USUAL, "inline")?, seen.of(USUAL, "queued")?);
    let mails = |seen: &super::Observation| seen.counted("mails_in_the_request");
    require((mails(inline) - 1.0).abs() < 0.01, || {
        format!("inline: {} mails an order", format::number(mails(inline)))
    })?;
    require(mails(queued) < 0.01, || {
        format!(
            "queued: {} mails an order without a worker",
            format::number(mails(queued))
        )
    })?;
    require(inline.any_statement_has("into shipments"), || {
        "inline: the api writes no shipment".into()
    })?;
    require(!queued.any_statement_has("into shipments"), || {
        "queued: the api writes the shipment".into()
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let scenario = |name: &str| scenarios.iter().find(|scenario| scenario.name == name);
    let Some(usual) = scenario(USUAL) else {
        return Explanation::default();
    };
    let of = |name: &str| usual.arms.iter().find(|arm| arm.name == name);
    let (Some(inline), Some(queued)) = (of("inline"), of("queued")) else {
        return Explanation::default();
    };
    let last = number(queued, "done_s_last");
    let within = match last {
        Some(last) if last <= DONE_WITHIN_S => "within the 5 s that are promised",
        _ => "not within the 5 s that are promised",
    };
    let mut notes = Vec::new();
    if let Some(at_once) = scenario(AT_ONCE) {
        let cpu = each(at_once, |arm| format::measured(arm.cpu_us_per_request.total()));
        let p50 = each(at_once, |arm| format::measured(arm.latency_ms.p50));
        notes.push(format!(
            "When third parties answer at once there is little to wait for: medians in ms: {p50}. The queue itself costs: CPU \
             of api, worker, Postgres and broker an order, in µs: {cpu}."
        ));
    }
    if let Some(outage) = scenario(OUTAGE) {
        notes.push(format!(
            "While the mail server refused everything, 20 orders were placed and answered alike. Mails that were never sent: \
             {}. Inline has nobody who would try again; the queue's consumer waits and does.",
            each(outage, |arm| format::measured(number(arm, "mails_never_sent"))),
        ));
    }
    Explanation {
        why: format!(
            "Inline, a customer waits for the payment, the mail, the label and the capture: {} ms at the median. Queued, for \
             the payment: {} ms. The rest is no faster for that: everything is done after {} s at the median inline and {} s \
             queued, and the last order of the run {} s after its request, {within}. Statements while the customer waits: {} \
             and {}.",
            format::measured(inline.latency_ms.p50),
            format::measured(queued.latency_ms.p50),
            format::measured(number(inline, "done_s_p50")),
            format::measured(number(queued, "done_s_p50")),
            format::measured(last),
            format::measured(inline.cost.queries_per_request),
            format::measured(queued.cost.queries_per_request),
        ),
        notes,
    }
}

fn each(scenario: &ScenarioReport, say: impl Fn(&ArmReport) -> String) -> String {
    let arms = scenario
        .arms
        .iter()
        .map(|arm| format!("{} {}", arm.name, say(arm)));
    arms.collect::<Vec<_>>().join(", ")
}

fn number(arm: &ArmReport, name: &str) -> Option<f64> {
    arm.outcomes.get(name).and_then(Value::as_f64)
}
