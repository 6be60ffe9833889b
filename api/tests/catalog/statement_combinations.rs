//! Lists build their SQL from parts. Every combination of parts is run once, so none is left that Postgres
//! rejects.

use crate::support::shop::TestShop;

/// Each filter, absent or present. The words: none, known ones, and misspelled ones for the fuzzy search.
const CHOICES: [&[&str]; 6] = [
    &["", "category=home"],
    &["", "brand=brand-4"],
    &["", "min_price=1000"],
    &["", "max_price=20000"],
    &["", "in_stock=true", "in_stock=false"],
    &["", "q=lantern", "q=lantrn"],
];

fn combinations() -> Vec<String> {
    let mut all = vec![String::new()];
    for choices in CHOICES {
        all = all
            .iter()
            .flat_map(|query| choices.iter().map(move |choice| format!("{query}&{choice}")))
            .collect();
    }
    all.iter()
        .map(|query| {
            query
                .split('&')
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("&")
        })
        .collect()
}

#[tokio::test]
async fn every_statement_of_a_list_runs() {
    assert_all_run().await;
}

pub async fn assert_all_run() {
    let shop = TestShop::start().await;
    let (mut lists, mut with_next_page) = (0, 0);
    for filters in combinations() {
        let sorts: &[&str] = match filters.contains("q=") {
            true => &[
                "relevance",
                "newest",
                "price_asc",
                "price_desc",
                "best_selling",
                "rating",
            ],
            false => &["newest", "price_asc", "price_desc", "best_selling", "rating"],
        };
        for sort in sorts {
            let path = format!("/v1/products?sort={sort}&limit=1&{filters}");
            let first = shop.get(path.trim_end_matches('&')).await.ok();
            lists += 1;
            if let Some(next) = first.next() {
                assert_eq!(shop.get(&next).await.ok().items().len(), 1, "{next}");
                with_next_page += 1;
            }
        }
        shop.get(format!("/v1/products/facets?{filters}").trim_end_matches('?'))
            .await
            .ok();
    }
    assert_eq!(lists, 48 * (5 + 6 + 6));
    // Only misspelled words may find nothing.
    assert!(
        with_next_page > lists / 3,
        "only {with_next_page} of {lists} lists had a second page"
    );
}
