//! `indexes`: the storefront's reads route by route under each index set, and what the indexes cost a write.

use serde_json::json;
use techniques::Lesson;

use super::observation::{Observation, Observations, require};
use super::{ClaimSpec, Direction, Explanation, Facts, Load, Plan, Requests, Scenario, Writes, arms_of};
use crate::report::{Metric, ScenarioReport, Shows, format};

const HEADLINE: &str = "filter and sort";
const JOIN: &str = "join: a product with variants, images and reviews";
/// How many times fewer buffers the chosen set needs for the filtered and sorted list, at least.
const LEAST_FACTOR: f64 = 10.0;

const FACETS: &str = "facets of a brand";

/// What the names of scenarios begin with that are counted and not timed.
const COUNTED: &str = "counted: ";

/// One of them, whose plan is part of the proof. Of a request's statements the plan is known that it sends last.
const VARIANTS: &str = "a product with its variants";

/// Different paths of such a scenario, where a route has parameters.
const EACH: usize = 5;

const CLAIMS: &[ClaimSpec] = &[
    ClaimSpec {
        text: "A widely read guide claims that a missing index on a frequently queried column turns a query of 5 ms into \
               one of 500 ms.",
        ratio: 100.0,
        scenario: JOIN,
        metric: Metric::LatencyP50,
        arm: "none",
        direction: Direction::ArmIsBefore,
        own_arithmetic: None,
    },
    ClaimSpec {
        text: "Another guide claims that fixing one unindexed join of three tables, which was 89 % of a response of 1.4 s, \
               took the response to 110 ms.",
        ratio: 12.7,
        scenario: JOIN,
        metric: Metric::LatencyP50,
        arm: "none",
        direction: Direction::ArmIsBefore,
        own_arithmetic: Some(
            "By its own numbers 11 % of 1.4 s, that is 154 ms, were not the query: an infinitely fast query leaves 154 ms, \
             not 110.",
        ),
    },
    ClaimSpec {
        text: "A widely read guide claims that indexing takes 70 to 90 % off the query time of columns without an index. \
               The lower end is a factor of 3.3.",
        ratio: 3.3,
        scenario: HEADLINE,
        metric: Metric::LatencyP50,
        arm: "chosen",
        direction: Direction::After("none"),
        own_arithmetic: None,
    },
];

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: true,
        arms: arms_of(lesson),
        scenarios,
        expected: "none and foreign_keys: the filtered and sorted list is sorted in a node of its own; chosen: it is read \
                   in the order of an index, with at most a tenth of the buffers of foreign_keys; a product's variants: \
                   a sequential scan in none, and none in chosen",
        signature,
        observed: |seen| {
            format!(
                "{} buffers, {}",
                format::number(seen.buffers()),
                reading_products(seen)
            )
        },
        claims: CLAIMS,
        files: &[
            ("none", "migrations/indexes/none.sql"),
            ("foreign_keys", "migrations/indexes/foreign_keys.sql"),
            ("chosen", "migrations/indexes/chosen.sql"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: super::LimitKind::SameStatements,
        environment: &[],
        answers_note: None,
    }
}

fn scenarios(facts: &Facts) -> Vec<Scenario> {
    let by_category = |rest: &str| {
        facts
            .popular_categories(40)
            .into_iter()
            .map(|category| format!("/v1/products?category={category}&{rest}"))
            .collect::<Vec<_>>()
    };
    let details = facts
        .popular_slugs(100)
        .into_iter()
        .map(|slug| format!("/v1/products/{slug}?include=variants,images,reviews"))
        .collect();
    let facets = facts
        .popular_brands(20)
        .into_iter()
        .map(|brand| format!("/v1/products/facets?brand={brand}"))
        .collect();
    let write = |name: &str, writes: Writes| Scenario {
        shows: Shows::Loss,
        ..Scenario::of(name, Vec::new())
            .asking(Requests::Writes(writes))
            .with("statements", json!("sent to the database itself"))
    };
    let mut scenarios = vec![
        Scenario::of(HEADLINE, by_category("sort=price_asc")),
        Scenario::of(JOIN, details),
        Scenario::of(FACETS, facets).only_in_full(),
        Scenario::of("the newest of all", vec!["/v1/products".into()]).only_in_full(),
        write("write: a new product with two variants", Writes::NewProduct),
        write("write: a changed price", Writes::Price).only_in_full(),
        write("write: a unit sold", Writes::Stock).only_in_full(),
    ];
    scenarios.extend(counted(facts));
    scenarios
}

/// The routes, filters and orders that are not timed: what each costs under each set.
fn counted(facts: &Facts) -> Vec<Scenario> {
    [
        counted_lists(),
        counted_by_name(facts),
        counted_of_products(facts),
    ]
    .into_iter()
    .flatten()
    .map(|(name, paths)| {
        let nothing = paths.is_empty();
        Scenario::of(&format!("{COUNTED}{name}"), paths)
            .under(Load::Counted)
            .missing(nothing.then(|| "the data has no names of the kind that it asks for".to_owned()))
    })
    .collect()
}

/// A workload's name, and what it asks for.
type Named = (&'static str, Vec<String>);

fn counted_lists() -> Vec<Named> {
    let path = |path: &str| vec![path.to_owned()];
    vec![
        ("the category tree", path("/v1/categories")),
        ("all products by price, up", path("/v1/products?sort=price_asc")),
        (
            "all products by price, down",
            path("/v1/products?sort=price_desc"),
        ),
        ("all products by sales", path("/v1/products?sort=best_selling")),
        ("all products by rating", path("/v1/products?sort=rating")),
        (
            "what is in stock within a band of prices",
            path("/v1/products?in_stock=true&min_price=2000&max_price=5000"),
        ),
        ("facets of all", path("/v1/products/facets")),
    ]
}

fn counted_by_name(facts: &Facts) -> Vec<Named> {
    let words = || facts.words.iter().map(String::as_str).collect();
    let in_category = facts.categories.iter().take(1).flat_map(|category| {
        ["newest", "best_selling", "rating"]
            .map(|order| format!("/v1/products?category={category}&sort={order}"))
    });
    vec![
        (
            "a category's newest, best selling, best rated",
            in_category.collect(),
        ),
        (
            "a brand's newest",
            each(facts.popular_brands(EACH), |brand| {
                format!("/v1/products?brand={brand}")
            }),
        ),
        (
            "search for a word",
            each(words(), |word| format!("/v1/products?q={word}")),
        ),
        (
            "suggestions",
            each(words(), |word| {
                let typed: String = word.chars().take(4).collect();
                format!("/v1/search/suggestions?q={typed}")
            }),
        ),
        (
            "facets of a category",
            each(facts.popular_categories(EACH), |category| {
                format!("/v1/products/facets?category={category}")
            }),
        ),
    ]
}

fn counted_of_products(facts: &Facts) -> Vec<Named> {
    let products = |path: fn(&str) -> String| each(facts.popular_slugs(EACH), path);
    vec![
        ("a product alone", products(|slug| format!("/v1/products/{slug}"))),
        (
            VARIANTS,
            products(|slug| format!("/v1/products/{slug}?include=variants")),
        ),
        (
            "a product's reviews",
            products(|slug| format!("/v1/products/{slug}/reviews")),
        ),
    ]
}

fn each(names: Vec<&str>, path: fn(&str) -> String) -> Vec<String> {
    names.into_iter().take(EACH).map(path).collect()
}

/// How the plan reads the products, and whether it sorts them.
fn reading_products(seen: &Observation) -> String {
    let nodes = nodes_over_products(seen);
    if nodes.is_empty() {
        "no plan".to_owned()
    } else {
        nodes.join(" over ")
    }
}

/// The plan's nodes that read products and that sort them. Where a category has others below it, these are what comes below
/// the walk over its subtree: the sort above merges the categories' pages, and is there in every arm.
fn nodes_over_products(seen: &Observation) -> Vec<&str> {
    let plans = seen
        .statements
        .iter()
        .filter_map(|statement| statement.plan.as_deref());
    let nodes: Vec<&str> = plans.flat_map(|plan| plan.split(" → ")).collect();
    let subtree = nodes.iter().position(|node| node.contains("Function Scan"));
    let below = &nodes[subtree.unwrap_or(0)..];
    below
        .iter()
        .copied()
        .filter(|node| *node == "Sort" || node.contains(" on products"))
        .collect()
}

fn signature(seen: &Observations) -> Result<(), String> {
    let foreign_keys = seen.of(HEADLINE, "foreign_keys")?;
    let chosen = seen.of(HEADLINE, "chosen")?;
    for (arm, seen) in [
        ("none", seen.of(HEADLINE, "none")?),
        ("foreign_keys", foreign_keys),
    ] {
        require(nodes_over_products(seen).contains(&"Sort"), || {
            format!("{arm}: {} for the sorted list", reading_products(seen))
        })?;
    }
    let nodes = nodes_over_products(chosen);
    let in_order = |node: &&str| node.starts_with("Index Scan on products");
    require(!nodes.contains(&"Sort") && nodes.iter().any(in_order), || {
        format!("chosen: {} for the sorted list", reading_products(chosen))
    })?;
    require(chosen.buffers() * LEAST_FACTOR <= foreign_keys.buffers(), || {
        format!(
            "chosen {} buffers, foreign_keys {}",
            format::number(chosen.buffers()),
            format::number(foreign_keys.buffers())
        )
    })?;
    let variants = format!("{COUNTED}{VARIANTS}");
    let none = seen.of(&variants, "none")?;
    require(none.any_plan_has("Seq Scan"), || {
        "none: no sequential scan for a product's variants".into()
    })?;
    let chosen = seen.of(&variants, "chosen")?;
    require(!chosen.any_plan_has("Seq Scan"), || {
        "chosen: a sequential scan for a product's variants".into()
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let Some(headline) = scenarios.first() else {
        return Explanation::default();
    };
    let arms: Vec<String> = headline
        .arms
        .iter()
        .map(|arm| {
            let (buffers, p50) = (
                format::measured(arm.cost.buffers_per_request),
                format::measured(arm.latency_ms.p50),
            );
            format!("{}: {buffers} buffers, {p50} ms", arm.name)
        })
        .collect();
    let writes: Vec<String> = scenarios
        .iter()
        .filter(|scenario| scenario.name.starts_with("write"))
        .filter_map(|scenario| {
            let ratio = scenario
                .ratios
                .iter()
                .find(|ratio| ratio.metric == Metric::Throughput && ratio.arm == "chosen")?;
            let wal = scenario
                .ratios
                .iter()
                .find(|ratio| ratio.metric == Metric::WalBytes && ratio.arm == "chosen");
            let wal = wal.map_or_else(String::new, |wal| {
                format!(", × {} of the log", format::number(1.0 / wal.value))
            });
            let name = scenario.name.trim_start_matches("write: ");
            Some(format!(
                "{name}: × {} of the rate{wal}",
                format::number(ratio.value)
            ))
        })
        .collect();
    Explanation {
        why: format!(
            "An index that has the filter's column first and the sort's next gives a page in its order, so the database \
             stops after the page. Without it, all products of the category are read and sorted ({}).",
            arms.join("; ")
        ),
        notes: vec![format!(
            "What it costs: every index is kept up to date by every write that touches its columns. Against foreign keys \
             alone, the chosen set writes at {}.",
            writes.join("; ")
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(of: &Scenario) -> &[String] {
        match &of.requests {
            Requests::Same(paths) => paths,
            _ => &[],
        }
    }

    #[test]
    fn every_route_of_the_catalogue_is_asked_for() {
        let scenarios = scenarios(&Facts::for_tests());
        let asked: Vec<&String> = scenarios.iter().flat_map(paths).collect();
        let routes: [fn(&str) -> bool; 8] = [
            |path| path == "/v1/categories",
            |path| path == "/v1/products",
            |path| path.starts_with("/v1/products/facets"),
            |path| {
                path.starts_with("/v1/products/product-")
                    && path.ends_with("?include=variants,images,reviews")
            },
            |path| path.starts_with("/v1/products/product-") && !path.contains('?'),
            |path| path.starts_with("/v1/products/product-") && path.ends_with("/reviews"),
            |path| path.starts_with("/v1/search/suggestions?q="),
            |path| path.starts_with("/v1/products?q="),
        ];
        for (number, route) in routes.iter().enumerate() {
            assert!(
                asked.iter().any(|path| route(path)),
                "route {number} is not asked for"
            );
        }
        for parameter in [
            "sort=price_asc",
            "sort=price_desc",
            "sort=best_selling",
            "sort=rating",
            "sort=newest",
            "category=",
            "brand=",
            "in_stock=",
            "min_price=",
            "max_price=",
        ] {
            assert!(asked.iter().any(|path| path.contains(parameter)), "{parameter}");
        }
    }

    #[test]
    fn a_catalogue_without_words_says_which_routes_it_cannot_be_asked() {
        let facts = Facts {
            words: Vec::new(),
            ..Facts::for_tests()
        };
        let scenarios = scenarios(&facts);
        let left_out: Vec<&str> = scenarios
            .iter()
            .filter(|scenario| scenario.missing.is_some())
            .map(|scenario| scenario.name.as_str())
            .collect();
        assert_eq!(left_out, ["counted: search for a word", "counted: suggestions"]);
        assert!(!scenarios.iter().flat_map(paths).any(|path| path.contains("q=")));
    }
}
