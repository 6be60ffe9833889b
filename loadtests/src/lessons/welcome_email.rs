//! `welcome_email`: registering, with a mail server that takes its time and with one that does not.

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{ClaimSpec, Direction, Explanation, Facts, Once, Plan, Requests, Scenario, arms_of};
use crate::report::{Metric, ScenarioReport, format};

const HEADLINE: &str = "a mail server that takes 30 ms";
const AT_ONCE: &str = "a mail server that answers at once";

/// The event that both arms write. Only `inline` says with it that the mail is sent.
const HEARD: &str = "insert into inbox";

const CLAIMS: &[ClaimSpec] = &[ClaimSpec {
    text: "A widely read guide claims that sending the welcome mail from a queue takes a registration from 1.3 s to 79 ms.",
    ratio: 16.5,
    scenario: HEADLINE,
    metric: Metric::LatencyP50,
    arm: "queued",
    direction: Direction::ArmIsAfter,
    own_arithmetic: None,
}];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: false,
        arms: arms_of(lesson),
        scenarios,
        expected: "mails that the server has by the time a registration is answered, inline: exactly 1; queued: none",
        signature,
        observed: |seen| format!("{} mails a registration", format::number(seen.mails)),
        claims: CLAIMS,
        files: &[
            ("inline", "api/src/welcome_email/inline.rs"),
            ("queued", "api/src/welcome_email/queued.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::None,
        environment: &[],
        answers_note: Some("Ids and times are each arm's own, and left out."),
    }
}

fn scenarios(_facts: &Facts) -> Vec<Scenario> {
    let registrations = |name: &str, median_ms: f64, p99_ms: f64| {
        Scenario::of(name, Vec::new())
            .asking(Requests::Once(Once::Registrations))
            .with("route", "POST /v1/accounts")
            .with_mails_taking(median_ms, p99_ms)
    };
    vec![
        registrations(HEADLINE, 30.0, 150.0),
        registrations(AT_ONCE, 0.0, 0.0),
        registrations("a mail server that takes 1.2 s", 1_200.0, 1_800.0).only_in_full(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let (inline, queued) = (seen.of(HEADLINE, "inline")?, seen.of(HEADLINE, "queued")?);
    require(inline.mails == 1.0 && queued.mails == 0.0, || {
        format!(
            "mails a registration, inline: {}, queued: {}",
            format::number(inline.mails),
            format::number(queued.mails)
        )
    })?;
    require(
        inline.any_statement_has(HEARD) && !queued.any_statement_has(HEARD),
        || "inline does not say with its event that the mail is sent, or queued does".to_owned(),
    )
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let medians = scenarios.iter().filter_map(|scenario| {
        let arms: Vec<String> = scenario
            .arms
            .iter()
            .map(|arm| {
                Some(format!(
                    "{} {} ms",
                    arm.name,
                    format::measured(Some(arm.latency_ms.p50?))
                ))
            })
            .collect::<Option<_>>()?;
        Some(format!("{}: {}", scenario.name, arms.join(", ")))
    });
    let hashing = scenarios.first().and_then(|headline| {
        let queued = headline.arms.last()?;
        queued.cpu_us_per_request.api
    });
    Explanation {
        why: format!(
            "A registration that sends its mail waits for the mail server ({}). What stays in both is the password's hash: \
             {} µs of the api's processor time a registration are hardly anything else. So the ratio says how slow the mail \
             server is beside a hash, and no queue takes a registration below the hash.",
            medians.collect::<Vec<_>>().join("; "),
            format::measured(hashing)
        ),
        notes: vec![
            "No worker runs beside this comparison: the queue's mails are events that wait, one for each customer, or no number \
             would be here. How long after the answer a queue's work is done is measured in `checkout`."
                .into(),
            "The lab's mail server acknowledges what it reads at once. With another, a mail may take 40 ms more: the client of \
             this shop sends a mail's last line in a packet of its own, which TCP holds back until the one before is \
             acknowledged (RFC 896; RFC 1122, 4.2.3.2)."
                .into(),
            "There is no limit beside it: nobody registers twice with the same statements.".into(),
        ],
    }
}
