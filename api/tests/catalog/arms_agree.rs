//! All arms of a lesson answer alike: generated requests walk through all of them, over the same database.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::arms::{Databases, arms_of};
use crate::support::shop::{Changes, TestShop};

/// Sequences for each lesson. Each is up to four requests, whose lists are followed for up to three pages.
const SEQUENCES: u32 = 40;

/// Words that every arm of `search` finds in the same products: whole words, none of which is part of another.
const WORDS: &[&str] = &[
    "wool", "linen", "lantern", "kettle", "anorak", "folding", "jewel", "zeppelin",
];

#[derive(Debug, Clone)]
struct Walk {
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

fn maybe(values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.4, select(values).prop_map(str::to_owned))
}

/// `filters` of lists and facets.
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
        maybe(categories),
        maybe(&["brand-1", "brand-5", "brand-8", "nobody"]),
        maybe(WORDS),
        (price(), price()),
        maybe(&["true", "false"]),
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

fn list() -> impl Strategy<Value = Walk> {
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
    // Not by relevance, which the arms of `search` understand differently.
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
            Walk { path, pages }
        })
}

fn anything() -> impl Strategy<Value = Walk> {
    let once = |path: String| Walk { path, pages: 1 };
    prop_oneof![
        6 => list(),
        2 => filters().prop_map(move |pairs| once(format!("/v1/products/facets?{}", query(pairs)))),
        2 => (0..440_u32, subsequence(&["variants", "images", "reviews"][..], 1..=3)).prop_map(move |(number, include)| {
            once(format!("/v1/products/product-{number}?include={}", include.join(",")))
        }),
        1 => (0..440_u32, 1..30_u32, 1..=3_usize).prop_map(|(number, limit, pages)| Walk {
            path: format!("/v1/products/product-{number}/reviews?limit={limit}"),
            pages,
        }),
        1 => select(WORDS).prop_map(move |word| once(format!("/v1/search/suggestions?q={}", &word[..3]))),
        1 => Just(once("/v1/categories".to_owned())),
    ]
}

/// Status and content. Where the next page is written is the business of `pagination`; that there is one is not.
fn content(answer: &Answer) -> (u16, Value) {
    let mut body = answer.json();
    if let Some(next) = body.get_mut("next") {
        *next = json!(next.is_string());
    }
    (answer.status.as_u16(), body)
}

async fn walk(shop: &TestShop, walk: &Walk) -> Vec<(u16, Value)> {
    let mut path = walk.path.clone();
    let mut seen = Vec::new();
    for _ in 0..walk.pages {
        let answer = shop.get_compressed(&path, "gzip, br").await;
        seen.push(content(&answer));
        // A cache that is asked for the second time has the answer.
        seen.push(content(&shop.get_compressed(&path, "gzip, br").await));
        match answer.json()["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    seen
}

fn assert_agree(lesson: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let all = arms_of(lesson);
    assert!(all.len() >= 2, "{lesson} has arms to compare");
    let shops: Vec<TestShop> = runtime.block_on(async {
        let databases = Databases::of(&all).await;
        let mut shops = Vec::new();
        for variants in all {
            shops.push(
                TestShop::on(
                    Arc::clone(&databases.get(&variants)),
                    variants,
                    Changes::default(),
                )
                .await,
            );
        }
        shops
    });
    let config = Config {
        cases: SEQUENCES,
        failure_persistence: None,
        ..Config::default()
    };
    let sequences = prop::collection::vec(anything(), 1..=4);
    let outcome = TestRunner::new(config).run(&sequences, |walks| {
        for each in walks {
            let mut answers = shops.iter().map(|shop| runtime.block_on(walk(shop, &each)));
            let first = answers.next().expect("two arms at least");
            for (other, shop) in answers.zip(&shops[1..]) {
                prop_assert_eq!(
                    &first,
                    &other,
                    "{} under {} and {}",
                    each.path,
                    shops[0].variants,
                    shop.variants
                );
            }
        }
        Ok(())
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
}

/// Lessons that the catalogue's requests don't reach: they are compared where they are at home.
const ELSEWHERE: &[&str] = &[
    // accounts/arms_agree.rs
    "sessions",
    "password_hashing",
    "welcome_email",
    // orders/arms_agree.rs
    "order_history",
    "order_lines",
    "stock",
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
        fn no_lesson_is_forgotten() {
            let compared = [$(stringify!($lesson)),+];
            for lesson in storefront::variants::LESSONS {
                let known = compared.contains(&lesson.name) || ELSEWHERE.contains(&lesson.name);
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
