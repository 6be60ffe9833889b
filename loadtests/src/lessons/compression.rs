//! `compression`: bytes against CPU, and the link speed from which each arm pays.

use techniques::Lesson;

use super::observation::{Observation, Observations, require};
use super::{ClaimSpec, Direction, Explanation, Facts, Plan, Scenario, arms_of};
use crate::report::{Metric, ScenarioReport, format};

const HEADLINE: &str = "a page of 20 with variants and images";
const BROWSERS: &str = "br, gzip";

const CLAIMS: &[ClaimSpec] = &[
    ClaimSpec {
        text: "A widely read guide claims that gzip or Brotli takes 60 to 80 % off HTML, CSS and JSON. The lower end is a \
               factor of 2.5.",
        ratio: 2.5,
        scenario: HEADLINE,
        metric: Metric::ResponseBytes,
        arm: "gzip",
        direction: Direction::ArmIsAfter,
        own_arithmetic: None,
    },
    ClaimSpec {
        text: "Another guide claims that Brotli makes JSON 20 to 30 % smaller than gzip. The lower end is a factor of 1.25.",
        ratio: 1.25,
        scenario: HEADLINE,
        metric: Metric::ResponseBytes,
        arm: "brotli",
        direction: Direction::After("gzip"),
        own_arithmetic: None,
    },
];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "none: no content-encoding; gzip: `gzip` on every answer; brotli: `br` on every answer; both send fewer bytes \
                   than none",
        signature,
        observed: |seen| {
            let encoding = if seen.encoded("br") > 0.99 {
                "`br`"
            } else if seen.encoded("gzip") > 0.99 {
                "`gzip`"
            } else {
                "no content-encoding"
            };
            format!("{encoding}, {} bytes", format::measured(seen.cost.response_bytes))
        },
        claims: CLAIMS,
        files: &[
            ("none", "api/src/server/compression/none.rs"),
            ("gzip", "api/src/server/compression/gzip.rs"),
            ("brotli", "api/src/server/compression/brotli.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::SameBytes,
        environment: &[],
        answers_note: Some(
            "Compared after decoding what each arm sends to a client that accepts gzip and Brotli.",
        ),
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let lists = |rest: &str| {
        facts
            .popular_categories(100)
            .into_iter()
            .map(|category| format!("/v1/products?category={category}&sort=best_selling&{rest}"))
            .collect::<Vec<_>>()
    };
    vec![
        Scenario::of(HEADLINE, lists("include=variants,images")).accepting(BROWSERS),
        Scenario::of("a short list over loopback", lists("limit=4"))
            .accepting(BROWSERS)
            .showing_a_loss()
            .only_in_full(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let plain = seen.of(HEADLINE, "none")?;
    let bytes = |seen: &Observation| seen.cost.response_bytes.unwrap_or(f64::NAN);
    for (arm, encoding) in [("gzip", "gzip"), ("brotli", "br")] {
        let encoded = seen.of(HEADLINE, arm)?;
        let share = encoded.encoded(encoding);
        require((share - 1.0).abs() < 1e-9, || {
            format!("{arm}: {:.0} % of the answers are `{encoding}`", share * 100.0)
        })?;
        require(bytes(encoded) < bytes(plain), || {
            format!(
                "{arm}: {} bytes, none: {}",
                format::number(bytes(encoded)),
                format::number(bytes(plain))
            )
        })?;
    }
    require(plain.encodings.is_empty(), || {
        format!(
            "none: encoded as {:?}",
            plain.encodings.keys().collect::<Vec<_>>()
        )
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let Some(headline) = scenarios.first() else {
        return Explanation::default();
    };
    let plain = headline.arms.iter().find(|arm| arm.name == "none");
    let mut saved = Vec::new();
    let mut speeds = Vec::new();
    for arm in headline.arms.iter().filter(|arm| arm.name != "none") {
        let Some(plain) = plain else { continue };
        let bytes = (plain.cost.response_bytes, arm.cost.response_bytes);
        let cpu = (plain.cpu_us_per_request.api, arm.cpu_us_per_request.api);
        let (Some(before), Some(after)) = bytes else {
            continue;
        };
        saved.push(format!("{} −{:.1} %", arm.name, (1.0 - after / before) * 100.0));
        let (Some(before_us), Some(after_us)) = cpu else {
            continue;
        };
        if after_us > before_us {
            // Bits saved in the time that the compressor takes, in bits a µs: that is Mbit/s.
            let megabits = (before - after) * 8.0 / (after_us - before_us);
            speeds.push(format!(
                "{}: {} µs of CPU more, so it pays for one user on links slower than {} Mbit/s",
                arm.name,
                format::number(after_us - before_us),
                format::number(megabits)
            ));
        }
    }
    Explanation {
        why: format!(
            "Bytes of the answer: {}. On loopback, where bytes are free, all that is left is the CPU.",
            saved.join(", ")
        ),
        notes: if speeds.is_empty() {
            Vec::new()
        } else {
            vec![format!("Computed from both: {}.", speeds.join("; "))]
        },
    }
}
