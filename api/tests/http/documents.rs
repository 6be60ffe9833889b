//! The API documents match the routes, and load no external resources.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::shop::{Changes, TestShop};

pub async fn document(shop: &TestShop) -> Value {
    let response = shop.get("/openapi.json").await.ok();
    assert_eq!(response.header("content-type"), Some("application/json"));
    response.json()
}

/// The names of a route's query parameters.
pub fn parameters(document: &Value, path: &str) -> BTreeSet<String> {
    let parameters = document["paths"][path]["get"]["parameters"]
        .as_array()
        .into_iter()
        .flatten();
    parameters
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn every_documented_route_responds_and_accepts_exactly_its_parameters() {
    let shop = TestShop::start().await;
    let document = document(&shop).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    let known: Vec<&str> = paths.keys().map(String::as_str).collect();
    insta::assert_debug_snapshot!("routes", known);
    // `accounts/authorization.rs` covers the other routes.
    let is_of_the_catalogue = |operations: &Value| operations["get"]["tags"][0] == "Catalog";
    for (path, operations) in paths
        .iter()
        .filter(|(_, operations)| is_of_the_catalogue(operations))
    {
        let required = if path.ends_with("suggestions") {
            "?q=kettle"
        } else {
            ""
        };
        let concrete = path.replace("{slug}", "product-1");
        shop.get(&format!("{concrete}{required}")).await.ok();
        assert!(
            operations["get"]["responses"]["200"]["content"]["application/json"]["schema"].is_object(),
            "{path}"
        );
        // The parameters in the problem match the document.
        let rejected = shop
            .get(&format!(
                "{concrete}?surely=unknown{}",
                required.replace('?', "&")
            ))
            .await;
        let problem = rejected.problem(400, "invalid_parameter");
        let detail = problem["detail"].as_str().unwrap();
        let accepted: BTreeSet<String> = match detail.split_once("known parameters: ").unwrap().1 {
            "none" => BTreeSet::new(),
            names => names.split(", ").map(str::to_owned).collect(),
        };
        assert_eq!(accepted, parameters(&document, path), "{path}");
    }
}

/// Parsing and the document agree on bounds and allowed values.
#[tokio::test]
async fn values_outside_of_the_documented_schema_are_rejected() {
    let shop = TestShop::start().await;
    let document = document(&shop).await;
    let mut tried = 0;
    for path in [
        "/v1/products",
        "/v1/products/facets",
        "/v1/products/{slug}",
        "/v1/products/{slug}/reviews",
    ] {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            let schema = &parameter["schema"];
            let (valid, invalid) = match (&schema["maximum"], &schema["maxLength"], schema["type"].as_str()) {
                (Value::Number(maximum), ..) => {
                    (maximum.to_string(), (maximum.as_i64().unwrap() + 1).to_string())
                }
                (_, Value::Number(length), _) => {
                    let length = length.as_u64().unwrap() as usize;
                    ("a".repeat(length), "a".repeat(length + 1))
                }
                (.., Some("boolean")) => ("true".to_owned(), "1".to_owned()),
                (.., Some("array")) => {
                    let words = schema["items"]["enum"].as_array().unwrap();
                    let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
                    (words.join(","), "none".to_owned())
                }
                _ if name == "sort" => (schema["enum"][1].as_str().unwrap().to_owned(), "none".to_owned()),
                _ => continue,
            };
            let address = format!("{}?{name}=", path.replace("{slug}", "product-1"));
            shop.get(&format!("{address}{valid}")).await.ok();
            let rejected = shop.get(&format!("{address}{invalid}")).await;
            assert_eq!(rejected.problem(400, "invalid_parameter")["parameter"], name);
            tried += 1;
        }
    }
    assert!(tried >= 18, "{tried}");
}

/// The schema declares exactly the fields of a product.
#[tokio::test]
async fn the_schema_of_a_product_matches_the_response() {
    let shop = TestShop::start().await;
    let document = document(&shop).await;
    let names = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let item = &shop
        .get("/v1/products?limit=1&include=variants,images")
        .await
        .items()[0];
    assert_eq!(
        names(item),
        names(&document["components"]["schemas"]["Product"]["properties"])
    );
    let product = shop
        .get("/v1/products/product-1?include=variants,images,reviews")
        .await
        .json();
    assert_eq!(
        names(&product),
        names(&document["components"]["schemas"]["ProductView"]["properties"])
    );
}

/// The addresses that a page loads or links.
fn addresses(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        found.extend(
            page.split(attribute)
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap().to_owned()),
        );
    }
    found
}

#[tokio::test]
async fn the_api_documentation_loads_no_external_resources() {
    let shop = TestShop::start().await;
    let moved = shop.get("/docs").await;
    assert!(moved.status.is_redirection());
    assert_eq!(moved.header("location"), Some("/docs/"));
    let page = shop.get("/docs/").await.ok();
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let addresses = addresses(&page.text());
    assert!(addresses.len() >= 4, "{addresses:?}");
    for address in addresses {
        let relative = address.strip_prefix("./").unwrap_or(&address);
        assert!(
            !relative.contains(':') && !relative.starts_with("//"),
            "{address} is external"
        );
        shop.get(&format!("/docs/{relative}")).await.ok();
    }
    let start = shop.get("/docs/swagger-initializer.js").await.ok().text();
    assert!(start.contains("/openapi.json"));
    assert!(!start.contains("://"), "{start}");
    // By default, it shows a badge that validator.swagger.io renders.
    assert!(start.contains(r#""validatorUrl": "none""#), "{start}");
}

#[tokio::test]
async fn the_start_page_has_only_working_links() {
    let own = TestShop::start().await;
    let other = "http://127.0.0.1:8081/?a=1&b=\"<i>";
    let changes = Changes::default().set("--other-shop-url", other);
    let shop = TestShop::on(own.database.clone(), changes).await;
    let page = shop.get("/").await.ok();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let page = page.text();
    assert!(!page.contains("<i>"), "the other shop's address is escaped");
    let mut external = 0;
    for address in addresses(&page) {
        match address.strip_prefix("http://127.0.0.1:8081/") {
            Some(_) => external += 1,
            None => assert!(shop.get(&address).await.status.as_u16() < 400, "{address}"),
        }
    }
    assert_eq!(external, 1);
    assert!(
        !own.get("/").await.text().contains("8081"),
        "there is no other shop"
    );
}
