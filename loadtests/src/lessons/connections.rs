//! `connections`: a connection for each request or from a pool, and what happens beyond the pool.

use std::time::Duration;

use serde_json::Value;
use techniques::Lesson;

use super::observation::{Observations, require};
use super::{
    ClaimSpec, Direction, Explanation, Facts, Load, Plan, Requests, Scenario, SlowOnes, arms_of, suitable,
};
use crate::report::{ArmReport, Metric, ScenarioReport, format};

const HEADLINE: &str = "one product";
const FAR: &str = "one product, 0.25 ms from the stores";
const OVERLOAD: &str = "more clients than connections";
const BESIDE_SLOW: &str = "one product, beside slow requests";

/// Many more than the pool holds, and more than the 200 connections that the lab's Postgres allows.
const CROWD: usize = 256;

/// How long a request waits for its connection: of the pool, or to be made. The default of a second is longer than a
/// slice of the quick mode, and then nothing would be refused. A lesson's shops have one environment, so it holds for
/// all scenarios but the one beside slow requests; only the crowd comes near it.
const LONGEST_WAIT_MS: u32 = 50;

/// Slow requests that are under way beside a fast one: twice the pool's connections.
const SLOW_CLIENTS: usize = 8;

/// The pool's connections in that scenario, as its environment says.
const SMALL_POOL: u32 = 4;

/// A pool of twice the two cores that the lab was built on, and the default wait: nobody is to be refused here.
const BESIDE_SLOW_ENVIRONMENT: &[(&str, &str)] = &[
    ("BACKSTOCK_DATABASE_CONNECTIONS", "4"),
    ("BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS", "1000"),
];

const CLAIMS: &[ClaimSpec] = &[ClaimSpec {
    text: "A widely read guide claims that connection pooling takes 30 to 50 % off the overhead. The lower end is a factor \
           of 1.4.",
    ratio: 1.4,
    scenario: HEADLINE,
    metric: Metric::LatencyP50,
    arm: "pooled",
    direction: Direction::ArmIsAfter,
    own_arithmetic: None,
}];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "per_request: 0.9 to 1.1 connections opened for a request; pooled: fewer than 0.1, since those that it has \
                   are used again",
        signature,
        observed: |seen| {
            format!(
                "{} connections opened a request",
                format::number(seen.connections_per_request)
            )
        },
        claims: CLAIMS,
        files: &[
            ("per_request", "api/src/database/per_request.rs"),
            ("pooled", "api/src/database/pooled.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::SameStatements,
        environment: &[("BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS", "50")],
        answers_note: None,
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let detail: Vec<String> = facts
        .popular_slugs(200)
        .into_iter()
        .map(|slug| format!("/v1/products/{slug}"))
        .collect();
    let lists: Vec<String> = facts
        .popular_categories(32)
        .into_iter()
        .map(|category| format!("/v1/products?category={category}&sort=best_selling&limit=100"))
        .collect();
    let slow = SlowOnes {
        clients: SLOW_CLIENTS,
        // The largest are left out: a slice waits for the end of every slow request.
        requests: Requests::Same(
            facts
                .categories
                .iter()
                .skip(facts.categories.len() / 4)
                .take(32)
                .map(|category| format!("/v1/products/facets?category={category}"))
                .collect(),
        ),
        measured_per_s: 40.0,
        environment: BESIDE_SLOW_ENVIRONMENT,
    };
    let wait = |scenario: Scenario, milliseconds: u32| scenario.with("longest_wait_ms", milliseconds);
    vec![
        wait(Scenario::of(HEADLINE, detail.clone()), LONGEST_WAIT_MS),
        wait(
            Scenario::of(FAR, detail.clone())
                .at_distance(Duration::from_micros(250))
                .only_in_full(),
            LONGEST_WAIT_MS,
        ),
        wait(
            Scenario::of(OVERLOAD, lists)
                .with("clients", CROWD)
                .under(Load::Overload { clients: CROWD })
                .only_in_full(),
            LONGEST_WAIT_MS,
        ),
        wait(
            Scenario::of(BESIDE_SLOW, detail)
                .with("pool", SMALL_POOL)
                .under(Load::BesideSlow(slow))
                .missing(suitable::nothing_is_slow(facts))
                .showing_a_loss(),
            1_000,
        ),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let opened = |arm| Ok::<f64, String>(seen.of(HEADLINE, arm)?.connections_per_request);
    let (per_request, pooled) = (opened("per_request")?, opened("pooled")?);
    require((0.9..=1.1).contains(&per_request), || {
        format!("per_request: {} opened a request", format::number(per_request))
    })?;
    require(pooled < 0.1, || {
        format!("pooled: {} opened a request", format::number(pooled))
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let Some(headline) = scenarios.first() else {
        return Explanation::default();
    };
    let of = |name: &str| headline.arms.iter().find(|arm| arm.name == name);
    let (Some(per_request), Some(pooled)) = (of("per_request"), of("pooled")) else {
        return Explanation::default();
    };
    let crowd = scenarios.iter().find(|scenario| scenario.name == OVERLOAD).map(|scenario| {
        let counts = scenario.arms.iter().map(|arm| {
            format!("{}: {} answered a second, {} refused or failed", arm.name, format::measured(arm.throughput_rps), arm.errors.unwrap_or(0))
        });
        format!("{CROWD} clients at once, more than the pool holds and more than the 200 connections that Postgres allows here: {}. A request waits {LONGEST_WAIT_MS} ms for a connection. Then the pool answers 503 with `retry-after`; per_request fails because connecting took longer, or because Postgres refused the connection.", counts.collect::<Vec<_>>().join("; "))
    });
    let far = scenarios
        .iter()
        .find(|scenario| scenario.name == FAR)
        .and_then(|scenario| {
            let ratio = scenario
                .ratios
                .iter()
                .find(|ratio| ratio.metric == Metric::LatencyP50)?;
            Some(format!(
                " Distance multiplies the round trips: 0.25 ms from the stores the ratio is × {}.",
                format::number(ratio.value)
            ))
        });
    Explanation {
        why: format!(
            "A connection for each request costs a handshake, authentication, a new Postgres process and the planning of \
             every statement anew: {} µs of CPU in Postgres a request against {}, {} round trips against {}.{}",
            format::measured(per_request.cpu_us_per_request.postgres),
            format::measured(pooled.cpu_us_per_request.postgres),
            format::measured(per_request.cost.round_trips_per_request),
            format::measured(pooled.cost.round_trips_per_request),
            far.unwrap_or_default(),
        ),
        notes: crowd.into_iter().chain(beside_slow(scenarios)).collect(),
    }
}

/// What became of fast and of slow requests on one shop.
fn beside_slow(scenarios: &[ScenarioReport]) -> Option<String> {
    let scenario = scenarios.iter().find(|scenario| scenario.name == BESIDE_SLOW)?;
    let of_arm = |arm: &ArmReport| {
        let slow = |what: &str| format::measured(arm.outcomes.get(what).and_then(Value::as_f64));
        format!(
            "{}: {} ms for the product, {} refused or failed, {} of the slow requests answered a second in {} ms each",
            arm.name,
            format::measured(arm.latency_ms.p50),
            arm.errors.unwrap_or(0),
            slow("slow_answers_per_s"),
            slow("slow_median_ms"),
        )
    };
    let arms: Vec<String> = scenario.arms.iter().map(of_arm).collect();
    Some(format!(
        "{SLOW_CLIENTS} clients ask for facets of a category again and again, and the pool has {SMALL_POOL} connections, so all \
         are taken. Beside them, medians: {}. A request to the pool waits until those before it have had their turn.",
        arms.join("; ")
    ))
}
