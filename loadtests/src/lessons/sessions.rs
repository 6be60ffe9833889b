//! `sessions`: what a signed-in request costs before it begins, near the stores and far from them, with little and with
//! much kept in a session.

use std::time::Duration;

use techniques::Lesson;

use super::facts::SIGNED_IN;
use super::observation::{Observations, require};
use super::{Exhibit, Explanation, Facts, Plan, Requests, Scenario, arms_of};
use crate::report::{Metric, ScenarioReport, format};

const HEADLINE: &str = "0.25 ms from the stores";
const WIDE: &str = "20 KB kept in each session, 0.25 ms from the stores";

/// What the pages of session stores call large, and what a shop gets that keeps carts and recently seen products there.
const WIDE_BYTES: u32 = 20_480;

/// The cheapest route that needs a customer: one statement by primary key, and a short answer. What the arms add to it
/// is a larger part than of any other.
const PATH: &str = "/v1/me";

/// One more or less in twenty requests, for what the api asks by the way.
const APART: f64 = 0.05;

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "table: one statement a request more than jwt, and none of its exchanges with Redis; redis: as many \
                   statements as jwt, and one exchange with Redis; with 20 KB in each session, as many bytes from Postgres \
                   (table) or Redis (redis), and not with jwt",
        signature,
        observed: |seen| {
            format!(
                "{} statements, {} exchanges with Redis",
                format::number(seen.queries()),
                format::number(seen.redis_round_trips)
            )
        },
        claims: &[],
        files: &[
            ("table", "api/src/sessions/table.rs"),
            ("redis", "api/src/sessions/redis.rs"),
            ("jwt", "api/src/sessions/jwt.rs"),
        ],
        explain,
        exhibits,
        limit: super::LimitKind::SameStatements,
        environment: &[],
        answers_note: None,
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let (plain, wide) = facts.customers.split_at(facts.customers.len().min(SIGNED_IN));
    let signed_in = |name: &str, customers: &[String], session_bytes: u32| {
        Scenario::of(name, Vec::new())
            .asking(Requests::SignedIn {
                customers: customers.iter().take(SIGNED_IN).cloned().collect(),
                path: PATH,
                session_bytes,
            })
            .with("route", PATH)
    };
    let quarter = Duration::from_micros(250);
    vec![
        signed_in(HEADLINE, plain, 0).at_distance(quarter),
        signed_in("beside the stores", plain, 0)
            .at_distance(Duration::ZERO)
            .only_in_full(),
        signed_in(WIDE, wide, WIDE_BYTES)
            .at_distance(quarter)
            .with("session_bytes", WIDE_BYTES),
        signed_in("1 ms from the stores", plain, 0)
            .at_distance(Duration::from_millis(1))
            .only_in_full(),
    ]
}

fn exhibits(facts: &Facts) -> Vec<Exhibit> {
    let customer = facts.customers.last().cloned();
    customer
        .map(|customer| Exhibit::AfterSignOut { customer })
        .into_iter()
        .collect()
}

fn signature(seen: &Observations) -> Result<(), String> {
    let of = |arm| seen.of(HEADLINE, arm);
    let (table, redis, jwt) = (of("table")?, of("redis")?, of("jwt")?);
    let is = |value: f64, expected: f64| (value - expected).abs() <= APART;
    let shown = |arm: &str, statements: f64, exchanges: f64| {
        format!(
            "{arm}: {} statements, {} exchanges with Redis",
            format::number(statements),
            format::number(exchanges)
        )
    };
    for (name, arm, statements, exchanges) in [
        ("table", table, jwt.queries() + 1.0, 0.0),
        ("redis", redis, jwt.queries(), 1.0),
        ("jwt", jwt, jwt.queries(), 0.0),
    ] {
        let holds = is(arm.queries(), statements) && is(arm.redis_round_trips, exchanges);
        require(holds, || shown(name, arm.queries(), arm.redis_round_trips))?;
    }
    let wide = |arm| {
        let cost = &seen.of(WIDE, arm)?.cost;
        let of_store = if arm == "redis" {
            cost.redis_bytes
        } else {
            cost.postgres_bytes
        };
        Ok::<f64, String>(of_store.unwrap_or(0.0))
    };
    let bytes = f64::from(WIDE_BYTES);
    require(
        wide("table")? >= bytes && wide("redis")? >= bytes && wide("jwt")? < bytes,
        || "20 KB in each session do not show in what the stores send".to_owned(),
    )
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let Some(headline) = scenarios.first() else {
        return Explanation::default();
    };
    let trips = headline.arms.iter().map(|arm| {
        format!(
            "{} {}",
            arm.name,
            format::measured(arm.cost.round_trips_per_request)
        )
    });
    let trips = trips.collect::<Vec<_>>().join(", ");
    let p50 = |scenario: &ScenarioReport, arm: &str| {
        let ratios = &scenario.ratios;
        let found = ratios
            .iter()
            .find(|ratio| ratio.metric == Metric::LatencyP50 && ratio.arm == arm)?;
        Some(format::times(found.value))
    };
    let by_scenario = scenarios.iter().filter_map(|scenario| {
        let (redis, jwt) = (p50(scenario, "redis")?, p50(scenario, "jwt")?);
        Some(format!("{}: redis {redis}, jwt {jwt}", scenario.name))
    });
    let header = headline.arms.iter().filter_map(|arm| {
        let bytes = arm.cost.request_bytes?;
        Some(format!("{} {}", arm.name, format::number(bytes)))
    });
    Explanation {
        why: format!(
            "A look-up is a round trip that the request waits for before it begins. Round trips of `GET {PATH}`, of which \
             some give a connection back after the answer: {trips}. Median latency against table: {}.",
            by_scenario.collect::<Vec<_>>().join("; ")
        ),
        notes: vec![
            format!(
                "What jwt costs is not time: its token stands in each request (bytes of a request: {}), and it is good \
                 until it expires, whoever has signed out.",
                header.collect::<Vec<_>>().join(", ")
            ),
            "A widely read guide claims that signed tokens eliminate session storage on the server, without a number. What \
             they eliminate is the look-up. A sign-in is a row in every arm, and so are its refresh tokens: without them \
             nobody could be signed out at all."
                .into(),
        ],
    }
}
