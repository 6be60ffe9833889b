//! `search`: whole words that both arms find alike, and what each finds besides.

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{ClaimSpec, Direction, Exhibit, Explanation, Facts, Plan, Scenario, arms_of, suitable};
use crate::report::{Metric, ScenarioReport, format};

const HEADLINE: &str = "a rare word";
const COMMON: &str = "a common word, the newest first";

const CLAIMS: &[ClaimSpec] = &[ClaimSpec {
    text: "A widely read guide claims that an index takes 70 to 90 % off the time of a query that had none. The lower end \
           is a factor of 3.3.",
    ratio: 3.3,
    scenario: HEADLINE,
    metric: Metric::LatencyP50,
    arm: "full_text",
    direction: Direction::ArmIsAfter,
    own_arithmetic: None,
}];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "like: `ilike` in the statement; full_text: a text search query in the statement, and at most a \
                   twentieth of like's buffers (of 1,000 where like needs fewer)",
        signature,
        observed: |seen| {
            let how = if seen.any_statement_has("ilike") {
                "`ilike`"
            } else if seen.any_statement_has("tsquery") {
                "`to_tsquery`"
            } else {
                "neither `ilike` nor `to_tsquery`"
            };
            format!("{how}, {} buffers", format::number(seen.buffers()))
        },
        claims: CLAIMS,
        files: &[
            ("like", "api/src/catalog/search/like.rs"),
            ("full_text", "api/src/catalog/search/full_text.rs"),
        ],
        explain,
        exhibits,
        limit: super::LimitKind::SameStatements,
        environment: &[],
        answers_note: Some(
            "The arms' answers differ by nature; compared are whole words that both must find alike, in an order that is \
             the same in both.",
        ),
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let words = |sort: &str| {
        let path = |word: &String| format!("/v1/products?q={word}&sort={sort}&limit=100");
        facts
            .words
            .iter()
            .step_by((facts.words.len() / 40).max(1))
            .take(40)
            .map(path)
            .collect::<Vec<_>>()
    };
    let common = match &facts.common_word {
        Some(word) => Scenario::of(COMMON, vec![format!("/v1/products?q={word}&sort=newest")])
            .with("word", word.as_str()),
        None => Scenario::of(COMMON, Vec::new()),
    };
    vec![
        Scenario::of(HEADLINE, words("newest")),
        common.missing(suitable::no_common_word(facts)).showing_a_loss(),
    ]
}

fn exhibits(facts: &Facts) -> Vec<Exhibit> {
    let Some(word) = facts.words.get(facts.words.len() / 2) else {
        return Vec::new();
    };
    let path = |text: &str| format!("/v1/products?q={text}&sort=newest&limit=100");
    let (first, second) = word.split_at(1);
    let typo = format!("{first}{}{}", second.get(..1).unwrap_or_default(), second);
    let found = |what, text: &str| Exhibit::ItemsFound {
        what,
        path: path(text),
    };
    vec![
        found("a whole word", word),
        found("its first five letters", word.get(..5).unwrap_or(word)),
        found(
            "its last five letters",
            word.get(word.len().saturating_sub(5)..).unwrap_or(word),
        ),
        found("the word with a letter doubled", &typo),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let (like, full_text) = (seen.of(HEADLINE, "like")?, seen.of(HEADLINE, "full_text")?);
    require(like.any_statement_has("ilike"), || "like: no `ilike`".into())?;
    require(full_text.any_statement_has("tsquery"), || {
        "full_text: no text search query".into()
    })?;
    let fewer = full_text.buffers() * 20.0 <= like.buffers().max(1_000.0);
    require(fewer || !suitable::search_reads_an_index(seen.products), || {
        format!(
            "full_text: {} buffers, like: {}",
            format::number(full_text.buffers()),
            format::number(like.buffers())
        )
    })
}

fn explain(scenarios: &[ScenarioReport], facts: &Facts) -> Explanation {
    let Some(headline) = scenarios.first() else {
        return Explanation::default();
    };
    let of = |name: &str| headline.arms.iter().find(|arm| arm.name == name);
    let (Some(like), Some(full_text)) = (of("like"), of("full_text")) else {
        return Explanation::default();
    };
    Explanation {
        why: format!(
            "`ilike` reads the texts of all {} products, {} buffers and {} ms, whatever it finds. The inverted index leads \
             to the few that match: {} buffers, {} ms.",
            format::number(facts.products as f64),
            format::measured(like.cost.buffers_per_request),
            format::measured(like.latency_ms.p50),
            format::measured(full_text.cost.buffers_per_request),
            format::measured(full_text.latency_ms.p50),
        ),
        notes: scenarios
            .iter()
            .filter(|scenario| scenario.name == COMMON)
            .map(|_| {
                "With a common word and the newest first, `ilike` walks the newest products and stops as soon as a page of \
                 them matches."
                    .to_owned()
            })
            .collect(),
    }
}
