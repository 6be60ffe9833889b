//! Invalid parameters are rejected: the problem names the parameter and the allowed values.

use std::fmt::Write as _;

use crate::support::shop::TestShop;

fn invalid_requests() -> Vec<String> {
    let long_query = format!("/v1/products?q={}", "a".repeat(201));
    let long_slug = format!("/v1/products?brand={}", "a".repeat(256));
    let long_string = format!("/v1/products?q={}", "a".repeat(4096));
    let long_name = format!("/v1/products?{}=1", "a".repeat(300));
    let many_words = format!("/v1/products?sort={}", "a".repeat(300));
    let mut paths: Vec<String> = [
        "/v1/products?limit=0",
        "/v1/products?limit=101",
        "/v1/products?limit=-1",
        "/v1/products?limit=20.5",
        "/v1/products?limit=",
        "/v1/products?limit=99999999999999999999",
        "/v1/products?sort=cheapest",
        "/v1/products?sort=",
        "/v1/products?sort=NEWEST",
        "/v1/products?sort=relevance",
        "/v1/products?min_price=cheap",
        "/v1/products?min_price=-1",
        "/v1/products?max_price=12.99",
        "/v1/products?max_price=1000000000001",
        "/v1/products?min_price=200&max_price=100",
        "/v1/products?in_stock=yes",
        "/v1/products?category=",
        "/v1/products?q=",
        "/v1/products?q=%20%20",
        "/v1/products?q=a%00b",
        "/v1/products?q=a%0Ab",
        "/v1/products?q=%FF",
        "/v1/products?q=a&q=b",
        "/v1/products?include=reviews",
        "/v1/products?include=",
        "/v1/products?fields=price,weight",
        "/v1/products?colour=red",
        "/v1/products?Limit=3",
        "/v1/products/facets?sort=newest",
        "/v1/products/facets?limit=3",
        "/v1/products/product-1?include=variants,everything",
        "/v1/products/product-1?fields=slug",
        "/v1/products/product-1/reviews?limit=0",
        "/v1/products/product-1/reviews?after=",
        "/v1/products/product-1/reviews?after=garbage",
        "/v1/products/product-1/reviews?sort=newest",
        "/v1/search/suggestions",
        "/v1/search/suggestions?q=a",
        "/v1/search/suggestions?q=kettle&limit=3",
        "/v1/categories?depth=2",
    ]
    .map(str::to_owned)
    .into();
    paths.extend([long_query, long_slug, long_string, long_name, many_words]);
    paths
}

/// Lists each request with the parameter and detail of its problem.
async fn problems(shop: &TestShop, paths: &[String]) -> String {
    let mut all = String::new();
    for path in paths {
        let problem = shop.get(path).await.problem(400, "invalid_parameter");
        let shown: String = path.chars().take(70).collect();
        let parameter = problem["parameter"].as_str().unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.len() < 400,
            "{path}: a problem doesn't echo the whole input"
        );
        writeln!(all, "{shown}\n    {parameter}: {detail}").unwrap();
    }
    all
}

#[tokio::test]
async fn invalid_parameters_are_rejected_by_name() {
    let shop = TestShop::start().await;
    let all = problems(&shop, &invalid_requests()).await;
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("problems", all);
    });
}

#[tokio::test]
async fn a_rejection_is_a_problem() {
    let shop = TestShop::start().await;
    let problem = shop
        .get("/v1/products?limit=0")
        .await
        .problem(400, "invalid_parameter");
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("problem", problem);
    });
}

#[tokio::test]
async fn pages_have_no_number() {
    let shop = TestShop::read_only().await;
    let problem = shop
        .get("/v1/products?page=2")
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(problem["parameter"], "page");
}

/// The cursor in the address of a page.
fn cursor_in(next: &str) -> &str {
    next.split_once("after=").unwrap().1
}

async fn assert_cursor_rejected(shop: &TestShop, fault: &str, path: &str) {
    let problem = shop.get(path).await.problem(400, "invalid_parameter");
    assert_eq!(problem["parameter"], "after", "{fault}");
    assert!(
        problem["detail"].as_str().unwrap().contains("follow `next`"),
        "{fault}: {problem}"
    );
}

#[tokio::test]
async fn a_cursor_is_valid_only_for_its_own_list() {
    let shop = TestShop::start().await;
    let next = shop
        .get("/v1/products?category=clothing&sort=price_asc&limit=5")
        .await
        .next()
        .unwrap();
    let cursor = cursor_in(&next);
    for (fault, list) in [
        ("another sort", "/v1/products?category=clothing&sort=price_desc"),
        ("another filter", "/v1/products?category=coats&sort=price_asc"),
        (
            "an additional filter",
            "/v1/products?category=clothing&sort=price_asc&in_stock=true",
        ),
        ("no filter", "/v1/products?sort=price_asc"),
        ("another route", "/v1/products/product-1/reviews?limit=20"),
    ] {
        assert_cursor_rejected(&shop, fault, &format!("{list}&after={cursor}")).await;
    }
    // The size of a page and its fields don't belong to the identity of a list.
    let shape = "limit=50&include=images";
    shop.get(&format!(
        "/v1/products?category=clothing&sort=price_asc&{shape}&after={cursor}"
    ))
    .await
    .ok();
    let of_reviews = shop.get("/v1/products/product-1/reviews").await.next().unwrap();
    let of_reviews = cursor_in(&of_reviews);
    let other_list = format!("/v1/products/product-2/reviews?after={of_reviews}");
    assert_cursor_rejected(&shop, "another product's", &other_list).await;
    let other_list = format!("/v1/products?category=clothing&sort=price_asc&after={of_reviews}");
    assert_cursor_rejected(&shop, "another route's", &other_list).await;
}

#[tokio::test]
async fn a_malformed_cursor_is_rejected() {
    let shop = TestShop::start().await;
    let next = shop.get("/v1/products?limit=5").await.next().unwrap();
    let cursor = cursor_in(&next);
    for (fault, text) in [
        ("truncated", cursor[..cursor.len() - 1].to_owned()),
        ("with a suffix", format!("{cursor}A")),
        ("empty", String::new()),
        ("forged", "A".repeat(cursor.len())),
        ("not base64", "!".repeat(cursor.len())),
        ("a page number", "2".to_owned()),
    ] {
        assert_cursor_rejected(&shop, fault, &format!("/v1/products?after={text}")).await;
    }
}

#[tokio::test]
async fn a_cursor_with_any_character_changed_is_rejected() {
    let shop = TestShop::start().await;
    let next = shop.get("/v1/products?limit=5").await.next().unwrap();
    let (list, cursor) = next.split_once("after=").unwrap();
    for at in 0..cursor.len() {
        let mut changed = cursor.to_owned();
        changed.replace_range(at..=at, if &cursor[at..=at] == "Q" { "g" } else { "Q" });
        shop.get(&format!("{list}after={changed}"))
            .await
            .problem(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_cursor_with_another_key_is_rejected() {
    use crate::support::shop::Changes;
    let ours = TestShop::start().await;
    let secrets = "test:fedcba9876543210fedcba9876543210";
    let changes = Changes::default().set("--jwt-secrets", secrets);
    let theirs = TestShop::on(ours.database.clone(), changes).await;
    let next = theirs.get("/v1/products?limit=5").await.next().unwrap();
    theirs.get(&next).await.ok();
    let problem = ours.get(&next).await.problem(400, "invalid_parameter");
    assert_eq!(problem["parameter"], "after");
    // After a key rotation, older cursors remain valid.
    let rotated = format!("new:{},{secrets}", "0".repeat(32));
    let changes = Changes::default().set("--jwt-secrets", rotated);
    let rotated = TestShop::on(ours.database.clone(), changes).await;
    rotated.get(&next).await.ok();
}

#[tokio::test]
async fn sql_metacharacters_are_plain_text() {
    assert_metacharacters_are_plain_text().await;
}

pub async fn assert_metacharacters_are_plain_text() {
    let shop = TestShop::start().await;
    for text in [
        "'",
        "''",
        "\"",
        "%",
        "_",
        "\\",
        "a'; drop table products; --",
        "&",
        "|",
        "!",
        "(",
        ":*",
        "<->",
        "$1",
        "💩",
    ] {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let found = shop.get(&format!("/v1/products?q={encoded}")).await.ok();
        assert!(found.items().len() <= 20, "{text}");
        shop.get(&format!("/v1/products/facets?q={encoded}")).await.ok();
        shop.get(&format!("/v1/search/suggestions?q={encoded}{encoded}"))
            .await
            .ok();
        for parameter in ["category", "brand"] {
            let none = shop
                .get(&format!("/v1/products?{parameter}={encoded}"))
                .await
                .ok();
            assert!(none.items().is_empty(), "{parameter}={text}");
        }
    }
}
