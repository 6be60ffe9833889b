//! `facets`: counts from rows and from columns, of all products, of a category, of words, and of a brand that has few.

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{Explanation, Facts, LimitKind, Plan, Scenario, arms_of, suitable};
use crate::report::{ScenarioReport, format};

const HEADLINE: &str = "facets of a category";
const ALL: &str = "facets of all";
const TREE: &str = "the category tree";
const WORDS: &str = "facets of a rare word";
const COMMON: &str = "facets of a common word";
const SMALL: &str = "facets of a brand that has few products";

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "scan: one statement a request, which groups rows; columns: no statement",
        signature,
        observed: |seen| {
            format!(
                "{} statements, {} buffers",
                format::number(seen.queries()),
                format::number(seen.buffers())
            )
        },
        claims: &[],
        files: &[
            ("scan", "api/src/catalog/facets/scan.rs"),
            ("columns", "api/src/catalog/facets/columns.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: LimitKind::SameBytes,
        environment: &[],
        answers_note: None,
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let facets = |parameter: &str, values: Vec<&str>| {
        values
            .into_iter()
            .map(|value| format!("/v1/products/facets?{parameter}={value}"))
            .collect::<Vec<_>>()
    };
    let words = facts.words.iter().map(String::as_str).take(40).collect();
    // The smallest that are known: an index leads a scan to just their products.
    let few = facts.brands.iter().rev().map(String::as_str).take(40).collect();
    vec![
        Scenario::of(HEADLINE, facets("category", facts.popular_categories(64))),
        Scenario::of(ALL, vec!["/v1/products/facets".to_owned()]),
        Scenario::of(TREE, vec!["/v1/categories".to_owned()]),
        Scenario::of(WORDS, facets("q", words)).only_in_full(),
        Scenario::of(
            COMMON,
            facets("q", facts.common_word.iter().map(String::as_str).collect()),
        )
        .missing(suitable::no_common_word(facts))
        .only_in_full(),
        Scenario::of(SMALL, facets("brand", few)).showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    for scenario in [HEADLINE, ALL, TREE] {
        let (scan, columns) = (seen.of(scenario, "scan")?, seen.of(scenario, "columns")?);
        require(
            scan.queries() >= 1.0 && scan.any_statement_has("group by"),
            || format!("scan, {scenario}: no statement that groups"),
        )?;
        require(columns.queries() == 0.0, || {
            format!(
                "columns, {scenario}: {} statements a request",
                format::number(columns.queries())
            )
        })?;
    }
    Ok(())
}

fn explain(scenarios: &[ScenarioReport], facts: &Facts) -> Explanation {
    let cost = |name: &str, arm: &str| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name)?;
        scenario.arms.iter().find(|found| found.name == arm)
    };
    let p50 = |name: &str, arm: &str| format::measured(cost(name, arm).and_then(|arm| arm.latency_ms.p50));
    let buffers = |name: &str, arm: &str| {
        format::measured(cost(name, arm).and_then(|arm| arm.cost.buffers_per_request))
    };
    Explanation {
        why: format!(
            "A scan reads something of each of {} products, its row or an index entry that holds what is counted: {} buffers \
             and {} ms for a category, {} and {} ms for all. The columns hold these five values side by side: {} ms and no \
             buffer, {} ms for all.",
            format::number(facts.products as f64),
            buffers(HEADLINE, "scan"),
            p50(HEADLINE, "scan"),
            buffers(ALL, "scan"),
            p50(ALL, "scan"),
            p50(HEADLINE, "columns"),
            p50(ALL, "columns"),
        ),
        notes: vec![
            format!(
                "A brand of which an index finds the few products: scan {} ms ({} buffers), columns {} ms. A pass over \
                 columns looks at every product, whatever the filter leaves.",
                p50(SMALL, "scan"),
                buffers(SMALL, "scan"),
                p50(SMALL, "columns"),
            ),
            "The columns cost memory in every process, at most 64 bytes a product, and a read of all products at each \
             start: `backstock_catalog_columns_bytes` on the internal listener shows how much it is."
                .into(),
        ],
    }
}
