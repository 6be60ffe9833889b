//! `planner_estimates`: the same list from a plan that was guessed, and from one that was chosen for its values.

use techniques::Lesson;

use super::observation::{Observations, require};
use super::{Explanation, Facts, Plan, Scenario, arms_of, suitable};
use crate::report::{ScenarioReport, format};

const HEADLINE: &str = "a rare word, the newest first";
const BRAND: &str = "a brand in a category, the best-selling first";
const NOTHING_DECIDED: &str = "a price limit that nearly everything is above";

/// How many times fewer buffers the headline must cost, where there are products enough for a walk to be dear.
const FEWER: f64 = 5.0;

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "hidden: `(select to_tsquery(…))`; visible: `to_tsquery` without a subselect, and for a rare word at most a \
                   fifth of hidden's buffers",
        signature,
        observed: |seen| {
            let how = match seen.any_statement_has("(select to_tsquery") {
                true => "words behind a subselect",
                false => "words that the planner sees",
            };
            format!("{how}, {} buffers", format::number(seen.buffers()))
        },
        claims: &[],
        files: &[
            ("hidden", "api/src/catalog/list_statement/hidden.rs"),
            ("visible", "api/src/catalog/list_statement/visible.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::None,
        environment: &[],
        answers_note: None,
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let words = facts
        .words
        .iter()
        .step_by((facts.words.len() / 40).max(1))
        .take(40)
        .map(|word| format!("/v1/products?q={word}&sort=newest"))
        .collect::<Vec<_>>();
    let brands = facts
        .popular_brands(64)
        .into_iter()
        .zip(facts.popular_categories(64))
        .map(|(brand, category)| format!("/v1/products?category={category}&brand={brand}&sort=best_selling"))
        .collect::<Vec<_>>();
    vec![
        Scenario::of(HEADLINE, words),
        Scenario::of(BRAND, brands),
        Scenario::of(
            NOTHING_DECIDED,
            (1..=40)
                .map(|price| format!("/v1/products?min_price={price}&sort=newest"))
                .collect::<Vec<_>>(),
        )
        .showing_a_loss(),
    ]
}

fn signature(seen: &Observations) -> Result<(), String> {
    let (hidden, visible) = (seen.of(HEADLINE, "hidden")?, seen.of(HEADLINE, "visible")?);
    require(hidden.any_statement_has("(select to_tsquery"), || {
        "hidden: no words behind a subselect".into()
    })?;
    let sees = visible.any_statement_has("to_tsquery") && !visible.any_statement_has("(select to_tsquery");
    require(sees, || "visible: the planner doesn't see the words".into())?;
    let fewer = visible.buffers() * FEWER <= hidden.buffers();
    require(fewer || !suitable::search_reads_an_index(seen.products), || {
        format!(
            "visible: {} buffers, hidden: {}",
            format::number(visible.buffers()),
            format::number(hidden.buffers())
        )
    })
}

fn explain(scenarios: &[ScenarioReport], facts: &Facts) -> Explanation {
    let Some(headline) = scenarios.first() else {
        return Explanation::default();
    };
    let of = |name: &str| headline.arms.iter().find(|arm| arm.name == name);
    let (Some(hidden), Some(visible)) = (of("hidden"), of("visible")) else {
        return Explanation::default();
    };
    Explanation {
        why: format!(
            "The planner takes each hidden word for one that 0.5 % of the {} products have, so it walks the newest of them: \
             {} buffers, {} ms. It knows of a word that it sees how rare it is, and fetches what matches: {} buffers, {} ms.",
            format::number(facts.products as f64),
            format::measured(hidden.cost.buffers_per_request),
            format::measured(hidden.latency_ms.p50),
            format::measured(visible.cost.buffers_per_request),
            format::measured(visible.latency_ms.p50),
        ),
        notes: vec![
            "With a price limit that nearly everything is above, both walk the same index. Planning that for each \
             request is the loss."
                .to_owned(),
        ],
    }
}
