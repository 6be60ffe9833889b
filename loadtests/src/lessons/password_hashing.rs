//! `password_hashing`: what everybody else waits for while people sign in, and what those who sign in wait for.

use techniques::Lesson;

use super::facts::SIGNED_IN;
use super::observation::{Observations, require};
use super::{Explanation, Facts, Load, Plan, Requests, Scenario, SlowOnes, arms_of};
use crate::report::{ArmReport, ScenarioReport, format};

const HEADLINE: &str = "one product, while people sign in";
const ALONE: &str = "signing in, and nothing else";

/// Twice as many sign-ins under way as the machine that the lab was built on has cores.
const CLIENTS: usize = 4;

/// A tenth of a core's worth of products, and so many that a block has a 95th percentile.
const PRODUCTS_PER_S: f64 = 450.0;

/// Of the api's processor time for a sign-in nearly all is the hash.
const MOSTLY: f64 = 0.8;
const HARDLY: f64 = 0.05;

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: false,
        arms: arms_of(lesson),
        scenarios,
        expected: "of the api's processor time while customers sign in, threads for blocking work have, runtime: at most \
                   5 %; pool: at least 80 %",
        signature,
        observed: |seen| match seen.blocking_share {
            Some(share) => format!("{:.0} % on threads for blocking work", share * 100.0),
            None => "not looked at".to_owned(),
        },
        claims: &[],
        files: &[
            ("runtime", "api/src/passwords/runtime.rs"),
            ("pool", "api/src/passwords/pool.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::None,
        environment: &[],
        answers_note: Some("Tokens are each arm's own, and left out."),
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let detail: Vec<String> = facts
        .popular_slugs(200)
        .into_iter()
        .map(|slug| format!("/v1/products/{slug}"))
        .collect();
    let sign_ins = || Requests::SignIns(facts.customers.iter().take(SIGNED_IN).cloned().collect());
    let slow = SlowOnes {
        clients: CLIENTS,
        requests: sign_ins(),
        measured_per_s: PRODUCTS_PER_S,
        environment: &[],
    };
    vec![
        Scenario::of(HEADLINE, detail).under(Load::BesideSlow(slow)),
        Scenario::of(ALONE, Vec::new())
            .asking(sign_ins())
            .under(Load::Overload { clients: CLIENTS })
            .showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let share = |arm| {
        let share = seen.of(HEADLINE, arm)?.blocking_share;
        share.ok_or_else(|| format!("{arm}: nobody looked at its threads"))
    };
    let (runtime, pool) = (share("runtime")?, share("pool")?);
    require(runtime <= HARDLY && pool >= MOSTLY, || {
        format!(
            "on threads for blocking work, runtime: {:.0} %, pool: {:.0} %",
            runtime * 100.0,
            pool * 100.0
        )
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let each = |name: &str, say: &dyn Fn(&ArmReport) -> String| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name);
        let arms = scenario.into_iter().flat_map(|scenario| &scenario.arms);
        let said: Vec<String> = arms.map(|arm| format!("{} {}", arm.name, say(arm))).collect();
        said.join(", ")
    };
    let sign_ins = |arm: &ArmReport| {
        let of = |name: &str| arm.outcomes.get(name).map_or_else(|| "?".into(), format::value);
        format!(
            "{} a second, {} ms each",
            of("slow_answers_per_s"),
            of("slow_median_ms")
        )
    };
    Explanation {
        why: format!(
            "A hash keeps its thread until it is done, and on a thread that runs requests everybody who is ready waits for \
             it (milliseconds until a product is answered, median: {}). Threads for blocking work take the same processor \
             time, but the kernel shares the cores between them and the others.",
            each(HEADLINE, &|arm| format::measured(arm.latency_ms.p50))
        ),
        notes: vec![
            format!(
                "What became of the sign-ins meanwhile: {}.",
                each(HEADLINE, &sign_ins)
            ),
            format!(
                "The pool hashes one password for every two cores at a time, so that half of the cores stay for the others. \
                 What that means where there are no others: of {CLIENTS} clients that do nothing but sign in are answered, {}.",
                each(ALONE, &|arm| format!(
                    "{} a second",
                    format::measured(arm.throughput_rps)
                ))
            ),
        ],
    }
}
