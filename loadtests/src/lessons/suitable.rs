//! What of a lesson the data can show. What needs more than there is, is left out with its reason: a plan on twenty rows
//! says nothing of a plan on a million.
//!
//! Most proofs hold at any size: statements, round trips, hits, headers, bytes, connections. These are never left out.

use super::Facts;
use crate::report::format;

/// Fewer products, and Postgres reads them all about as cheaply without an index as with one.
const INDEXES_FROM: u64 = 50_000;

/// Fewer products in a category on average, and a sorted page of it costs no tenth with an index.
const INDEXES_FROM_A_CATEGORY: u64 = 500;

/// Fewer products, and there is no page of 100 behind the first that lies at a depth.
const PAGINATION_FROM: u64 = 2_000;

/// Fewer products, and a plan that reads all search documents needs no more buffers than one that reads an index.
const SEARCH_BUFFERS_FROM: u64 = 10_000;

/// Shorter descriptions are no larger part of a row than what a list shows.
const WIDE_DESCRIPTION_BYTES: f64 = 500.0;

/// Fewer, and a list of a category fits into a packet, which no arm compresses.
const COMPRESSION_FROM_IN_A_CATEGORY: u64 = 4;

/// Fewer products, and a slice asks for the same ones again and again.
const RARE_FROM: u64 = 5_000;

/// Fewer products, and counting a category's facets is no slow request.
const SLOW_FACETS_FROM: u64 = 50_000;

/// Why this data cannot show a lesson at all.
pub fn lesson_missing(lesson: &str, facts: &Facts) -> Option<String> {
    let categories = facts.categories.len().max(1) as u64;
    let in_a_category = facts.products / categories;
    match lesson {
        "indexes" if facts.products < INDEXES_FROM => Some(format!(
            "{}, of {} that it takes until a plan without indexes is told from one with them",
            only(facts.products),
            whole(INDEXES_FROM)
        )),
        "indexes" if in_a_category < INDEXES_FROM_A_CATEGORY => Some(format!(
            "only {} products in a category on average, of {INDEXES_FROM_A_CATEGORY} that it takes until sorting them is \
             dear",
            whole(in_a_category)
        )),
        "pagination" if facts.products < PAGINATION_FROM => Some(format!(
            "{}, of {} that it takes for pages at a depth",
            only(facts.products),
            whole(PAGINATION_FROM)
        )),
        "search" | "planner_estimates" if facts.words.is_empty() => Some(format!(
            "no word in the texts of its {} products that both arms must find alike",
            whole(facts.products)
        )),
        "compression" if facts.fewest_in_a_category < COMPRESSION_FROM_IN_A_CATEGORY => Some(format!(
            "{}, and categories of fewer than {COMPRESSION_FROM_IN_A_CATEGORY}: such a list fits into one packet, which no \
             arm compresses",
            only(facts.products)
        )),
        "sessions" | "password_hashing" if facts.customers.is_empty() => {
            Some("no customers to sign in: a product export has none".to_owned())
        }
        "order_history" if facts.frequent_buyers.is_empty() => {
            Some("no customer with more orders than fit on a page".to_owned())
        }
        _ => None,
    }
}

/// Why no customer has exactly one order.
pub(super) fn nobody_bought_once(facts: &Facts) -> Option<String> {
    facts
        .once_buyers
        .is_empty()
        .then(|| "no customer with one order".to_owned())
}

/// What of a lesson's signature is not asked of this data, and why.
pub fn waived(lesson: &str, facts: &Facts) -> Option<String> {
    match lesson {
        "search" | "planner_estimates" if !search_reads_an_index(facts.products) => Some(format!(
            "the buffers, since with {} reading all search documents costs as little",
            only(facts.products)
        )),
        "projection" if !descriptions_are_wide(facts.description_bytes) => Some(format!(
            "twice the bytes, only more of them, since descriptions have {} bytes on average",
            format::number(facts.description_bytes)
        )),
        _ => None,
    }
}

/// Whether there is so much to search that an index needs fewer buffers.
pub(super) fn search_reads_an_index(products: u64) -> bool {
    products >= SEARCH_BUFFERS_FROM
}

/// Whether descriptions are a large part of their rows.
pub(super) fn descriptions_are_wide(mean_bytes: f64) -> bool {
    mean_bytes >= WIDE_DESCRIPTION_BYTES
}

/// Why requests that hardly repeat cannot be drawn from this data.
pub(super) fn repeats_at_once(facts: &Facts) -> Option<String> {
    (facts.products < RARE_FROM).then(|| format!("{}, which repeat at once", only(facts.products)))
}

/// Why no request keeps a connection for long.
pub(super) fn nothing_is_slow(facts: &Facts) -> Option<String> {
    (facts.products < SLOW_FACETS_FROM).then(|| format!("{}, so no request is slow", only(facts.products)))
}

/// Why a depth does not exist.
pub(super) fn not_so_deep(facts: &Facts) -> String {
    only(facts.products)
}

/// Why there is no common word.
pub(super) fn no_common_word(facts: &Facts) -> Option<String> {
    facts.common_word.is_none().then(|| {
        format!(
            "{}, and no word that both arms find alike in more of them than fit on a page",
            only(facts.products)
        )
    })
}

fn only(products: u64) -> String {
    format!("only {} products", whole(products))
}

fn whole(count: u64) -> String {
    format::number(count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Facts {
        Facts {
            products: 20,
            categories: vec!["shirts".into()],
            fewest_in_a_category: 20,
            ..Facts::for_tests()
        }
    }

    #[test]
    fn a_large_catalogue_shows_everything() {
        let facts = Facts::for_tests();
        for lesson in techniques::LESSONS {
            assert_eq!(lesson_missing(lesson.name, &facts), None, "{}", lesson.name);
            assert_eq!(waived(lesson.name, &facts), None, "{}", lesson.name);
        }
    }

    #[test]
    fn a_small_one_says_how_small_it_is() {
        for lesson in ["indexes", "pagination"] {
            let reason = lesson_missing(lesson, &small()).expect("it needs more than twenty products");
            assert!(reason.contains("only 20 products"), "{reason}");
        }
        for lesson in [
            "listing",
            "projection",
            "search",
            "planner_estimates",
            "catalog_cache",
            "connections",
            "compression",
        ] {
            assert_eq!(
                lesson_missing(lesson, &small()),
                None,
                "{lesson} holds at any size"
            );
        }
    }
}
