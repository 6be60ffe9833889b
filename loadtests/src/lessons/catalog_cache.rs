//! `catalog_cache`: answers from Redis when they repeat, when the cache is cold, and when they don't repeat.

use std::time::Duration;

use serde_json::json;
use techniques::Lesson;

use super::observation::{Observations, require};
use super::{Before, ClaimSpec, Direction, Explanation, Facts, Load, Plan, Scenario, arms_of, suitable};
use crate::report::{Metric, ScenarioReport, format};

const HEADLINE: &str = "warm";
const FAR: &str = "warm, 0.25 ms from the stores";
const COLD: &str = "cold";
const RARE: &str = "hardly any repetition";

/// How long the api keeps lists and products (its default).
const TTL_S: f64 = 300.0;

const CLAIMS: &[ClaimSpec] = &[ClaimSpec {
    text: "A widely read guide claims that caching a product catalogue in Redis for five minutes takes its response from \
           300 to 22 ms, with 92 % fewer database queries.",
    ratio: 13.6,
    scenario: HEADLINE,
    metric: Metric::LatencyP50,
    arm: "redis",
    direction: Direction::ArmIsAfter,
    own_arithmetic: None,
}];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "none: at least one statement a request, no hit; redis, warm: no statement, every answer a hit",
        signature,
        observed: |seen| {
            format!(
                "{} statements, {:.0} % hits",
                format::number(seen.queries()),
                seen.hit_ratio * 100.0
            )
        },
        claims: CLAIMS,
        files: &[
            ("none", "api/src/catalog/cache/none.rs"),
            ("redis", "api/src/catalog/cache/redis.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::RedisGet,
        environment: &[],
        answers_note: Some("Compared on a miss and again on the hit that follows."),
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let lists: Vec<String> = facts
        .popular_categories(200)
        .into_iter()
        .map(|category| format!("/v1/products?category={category}&sort=best_selling&include=variants,images"))
        .collect();
    let details = |slugs: Vec<&str>| {
        slugs
            .into_iter()
            .map(|slug| format!("/v1/products/{slug}"))
            .collect::<Vec<_>>()
    };
    vec![
        Scenario::of(HEADLINE, lists.clone()).under(Load::LatencyAndThroughput),
        Scenario::of(FAR, lists)
            .at_distance(Duration::from_micros(250))
            .only_in_full(),
        Scenario::of(COLD, details(facts.popular_slugs(4_000)))
            .after(Before::EmptyCache)
            .with("emptied", json!("before each slice")),
        Scenario::of(RARE, details(facts.different_slugs(20_000)))
            .after(Before::EmptyCache)
            .missing(suitable::repeats_at_once(facts))
            .showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let (none, redis) = (seen.of(HEADLINE, "none")?, seen.of(HEADLINE, "redis")?);
    require(none.queries() >= 1.0, || {
        format!("none: {} statements a request", format::number(none.queries()))
    })?;
    require(none.hit_ratio == 0.0, || {
        format!("none: {:.0} % hits", none.hit_ratio * 100.0)
    })?;
    require(redis.queries() == 0.0, || {
        format!("redis: {} statements a request", format::number(redis.queries()))
    })?;
    require((redis.hit_ratio - 1.0).abs() < 1e-9, || {
        format!("redis: {:.0} % hits when warm", redis.hit_ratio * 100.0)
    })
}

fn explain(scenarios: &[ScenarioReport], facts: &Facts) -> Explanation {
    let p50 = |name: &str, arm: &str| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name)?;
        scenario
            .arms
            .iter()
            .find(|found| found.name == arm)?
            .latency_ms
            .p50
    };
    let ratio = |name: &str| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name)?;
        scenario
            .ratios
            .iter()
            .find(|ratio| ratio.metric == Metric::LatencyP50)
            .map(|ratio| ratio.value)
    };
    let bounds: Vec<String> = [200.0, 1_000.0, 5_000.0]
        .into_iter()
        .map(|rate| {
            format!(
                "{:.0} % at {} requests a second",
                facts.hit_bound(rate, TTL_S) * 100.0,
                format::number(rate)
            )
        })
        .collect();
    let rare = ratio(RARE).map_or_else(String::new, |ratio| {
        format!(
            "with hardly any repetition the ratio is × {}, ",
            format::number(ratio)
        )
    });
    let far = ratio(FAR).map_or_else(String::new, |ratio| {
        format!(
            " With both stores 0.25 ms away, it is × {}: a hit is one round trip there.",
            format::number(ratio)
        )
    });
    Explanation {
        why: format!(
            "A hit replaces the statements by one exchange with Redis and sends bytes that are finished: {} → {} ms. A miss \
             pays for Redis three times besides the work: {rare}from an empty cache the ratio is × {}.{far}",
            format::measured(p50(HEADLINE, "none")),
            format::measured(p50(HEADLINE, "redis")),
            format::measured(ratio(COLD)),
        ),
        notes: vec![
            format!(
                "With {} products, this popularity and five minutes to live, no cache can hit more than {}. So `90 % and \
                 more` depends on the traffic.",
                format::number(facts.products as f64),
                bounds.join(", ")
            ),
            "The claim's 22 ms cannot be a mean: with 8 % misses of 300 ms the mean is above 24 ms. It is a hit, or a median."
                .into(),
        ],
    }
}
