//! All arms of a lesson return equal responses: generated requests are sent to each of them, over the same database.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use techniques::Selection;

use crate::support::arms;
use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// The number of sequences per lesson. Each has up to four requests, and follows lists for up to three pages.
const SEQUENCES: u32 = 40;

/// Words for which all arms of `search` find the same products: whole words, none of which is part of
/// another.
const WORDS: &[&str] = &[
    "wool", "linen", "lantern", "kettle", "anorak", "folding", "jewel", "zeppelin",
];

/// A request, and for a list up to how many pages are followed.
#[derive(Debug, Clone)]
struct Traversal {
    path: String,
    pages: usize,
}

fn query(pairs: Vec<(&'static str, Option<String>)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.finish()
}

fn optional(values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.4, select(values).prop_map(str::to_owned))
}

/// Filters of lists and facets.
fn filters() -> impl Strategy<Value = Vec<(&'static str, Option<String>)>> {
    let categories = &[
        "clothing",
        "coats",
        "parkas",
        "home",
        "knives",
        "garden",
        "clearance",
        "nowhere",
    ];
    let price = || prop::option::weighted(0.3, 0..22_000_i64);
    (
        optional(categories),
        optional(&["brand-1", "brand-5", "brand-8", "no-such-brand"]),
        optional(WORDS),
        (price(), price()),
        optional(&["true", "false"]),
    )
        .prop_map(|(category, brand, q, (one, other), in_stock)| {
            let (min, max) = match (one, other) {
                (Some(a), Some(b)) => (Some(a.min(b)), Some(a.max(b))),
                prices => prices,
            };
            vec![
                ("category", category),
                ("brand", brand),
                ("q", q),
                ("min_price", min.map(|price| price.to_string())),
                ("max_price", max.map(|price| price.to_string())),
                ("in_stock", in_stock),
            ]
        })
}

fn list() -> impl Strategy<Value = Traversal> {
    let fields = &[
        "id",
        "slug",
        "title",
        "brand",
        "category",
        "price",
        "compare_at_price",
        "in_stock",
        "rating",
        "image",
    ];
    // Not by relevance, because the arms of `search` rank differently.
    let sort = select(&["newest", "price_asc", "price_desc", "best_selling", "rating"][..]);
    (
        filters(),
        sort,
        1..60_u32,
        subsequence(&["variants", "images"][..], 0..=2),
        subsequence(&fields[..], 0..=10),
        1..=3_usize,
    )
        .prop_map(|(mut pairs, sort, limit, include, fields, pages)| {
            pairs.push(("sort", Some(sort.to_owned())));
            pairs.push(("limit", Some(limit.to_string())));
            pairs.push(("include", (!include.is_empty()).then(|| include.join(","))));
            pairs.push(("fields", (!fields.is_empty()).then(|| fields.join(","))));
            let path = format!("/v1/products?{}", query(pairs));
            Traversal { path, pages }
        })
}

fn any_traversal() -> impl Strategy<Value = Traversal> {
    let once = |path: String| Traversal { path, pages: 1 };
    prop_oneof![
        6 => list(),
        2 => filters().prop_map(move |pairs| once(format!("/v1/products/facets?{}", query(pairs)))),
        2 => (0..440_u32, subsequence(&["variants", "images", "reviews"][..], 1..=3)).prop_map(move |(number, include)| {
            once(format!("/v1/products/product-{number}?include={}", include.join(",")))
        }),
        1 => (0..440_u32, 1..30_u32, 1..=3_usize).prop_map(|(number, limit, pages)| Traversal {
            path: format!("/v1/products/product-{number}/reviews?limit={limit}"),
            pages,
        }),
        1 => select(WORDS).prop_map(move |word| once(format!("/v1/search/suggestions?q={}", &word[..3]))),
        1 => Just(once("/v1/categories".to_owned())),
    ]
}

/// Status and body. The address of the next page depends on the arm of `pagination`; whether there is one
/// doesn't.
fn content(response: &TestResponse) -> (u16, Value) {
    let mut body = response.json();
    if let Some(next) = body.get_mut("next") {
        *next = json!(next.is_string());
    }
    (response.status.as_u16(), body)
}

async fn traverse(shop: &TestShop, traversal: &Traversal) -> Vec<(u16, Value)> {
    let mut path = traversal.path.clone();
    let mut responses = Vec::new();
    for _ in 0..traversal.pages {
        let response = shop.get_compressed(&path, "gzip, br").await;
        responses.push(content(&response));
        // The second time, the response comes from the cache.
        responses.push(content(&shop.get_compressed(&path, "gzip, br").await));
        match response.json()["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    responses
}

fn assert_agree(lesson: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let selections = arms::arms_of(lesson);
    assert!(selections.len() >= 2, "{lesson} has arms to compare");
    let shops: Vec<(Selection, TestShop)> = runtime.block_on(async {
        let mut shops = Vec::new();
        for selection in selections {
            shops.push((selection, arms::run(selection, TestShop::read_only).await));
        }
        shops
    });
    let config = Config {
        cases: SEQUENCES,
        failure_persistence: None,
        ..Config::default()
    };
    let sequences = prop::collection::vec(any_traversal(), 1..=4);
    let outcome = TestRunner::new(config).run(&sequences, |traversals| {
        for each in traversals {
            let mut responses = shops
                .iter()
                .map(|(selection, shop)| (selection, runtime.block_on(traverse(shop, &each))));
            let (first_selection, first) = responses.next().expect("at least two arms");
            for (selection, other) in responses {
                prop_assert_eq!(
                    &first,
                    &other,
                    "{} under {} and {}",
                    each.path,
                    first_selection,
                    selection
                );
            }
        }
        Ok(())
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
}

/// Lessons that don't affect the catalogue's routes, by the file that compares their arms.
const COMPARED_ELSEWHERE: &[&str] = &[
    // agree/accounts.rs
    "sessions",
    "password_hashing",
    "welcome_email",
    // agree/orders.rs
    "order_history",
    "order_lines",
    "stock",
    "reservation",
    "checkout",
    "sales_counts",
    "events",
];

macro_rules! lessons_agree {
    ($($lesson:ident),+) => {
        $(
            #[test]
            fn $lesson() {
                assert_agree(stringify!($lesson));
            }
        )+

        #[test]
        fn every_lesson_is_compared() {
            let compared = [$(stringify!($lesson)),+];
            for lesson in techniques::LESSONS {
                let known = compared.contains(&lesson.name) || COMPARED_ELSEWHERE.contains(&lesson.name);
                assert!(known, "{}", lesson.name);
            }
        }
    };
}

lessons_agree!(
    indexes,
    pagination,
    listing,
    projection,
    search,
    planner_estimates,
    facets,
    catalog_cache,
    connections,
    compression
);
