//! Where a body has an object, an array is refused by the field's name, at any depth. What bodies have is taken from the
//! document, so that a field that is added is tried without a line here.

use axum::http::{Method, Request};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::people::Person;
use crate::support::shop::TestShop;

/// The schema itself, behind references and `null` as the other choice.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return resolved(document, &document["components"]["schemas"][name]);
    }
    for of in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[of].as_array() {
            let choice = choices.iter().find(|choice| choice["type"] != "null");
            return resolved(document, choice.unwrap());
        }
    }
    schema
}

fn is_of_type(schema: &Value, name: &str) -> bool {
    schema["type"] == name
        || schema["type"]
            .as_array()
            .is_some_and(|names| names.contains(&json!(name)))
}

/// For each place where the schema has an object: its path, and a value that has an array there, of what the object's
/// fields could be, and nothing else.
fn with_an_array(document: &Value, schema: &Value) -> Vec<(String, Value)> {
    let schema = resolved(document, schema);
    if is_of_type(schema, "array") {
        return with_an_array(document, &schema["items"])
            .into_iter()
            .map(|(path, value)| (format!("[0]{path}"), json!([value])))
            .collect();
    }
    if !is_of_type(schema, "object") {
        return Vec::new();
    }
    let nothing = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&nothing);
    let values = fields.values().map(|field| match is_of_type(field, "integer") {
        true => json!(1),
        false => json!("NO"),
    });
    let mut all = vec![(String::new(), values.collect())];
    for (name, field) in fields {
        for (path, value) in with_an_array(document, field) {
            all.push((format!(".{name}{path}"), json!({ name: value })));
        }
    }
    all
}

#[tokio::test]
async fn an_array_is_no_object_in_any_body() {
    let shop = TestShop::start("optimized").await;
    let admin = Person::admin(&shop).await;
    let document = shop.get("/openapi.json").await.ok().json();
    let (mut whole, mut within) = (0, Vec::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            // What isn't signed by the carrier isn't read.
            if schema.is_null() || operation["security"] == json!([{ "carrier": [] }]) {
                continue;
            }
            let path = path
                .replace("{slug}", "product-1")
                .replace("{sku}", "SKU-1-0")
                .replace("{id}", &Uuid::nil().to_string());
            for (place, body) in with_an_array(&document, schema) {
                let request = Request::builder()
                    .method(method.to_uppercase().parse::<Method>().unwrap())
                    .uri(&path)
                    .header("idempotency-key", "a");
                let answer = shop.send_json(admin.asks(request), &body).await;
                let problem = answer.problem(400, "invalid_parameter");
                let name = format!("{method} {path} {body}: {problem}");
                match place.strip_prefix('.') {
                    None => {
                        assert_eq!(problem["parameter"], "body", "{name}");
                        whole += 1;
                    }
                    Some(place) => {
                        assert_eq!(problem["parameter"], place, "{name}");
                        assert!(
                            problem["detail"].as_str().unwrap().starts_with("is an array"),
                            "{name}"
                        );
                        within.push(place.to_owned());
                    }
                }
            }
        }
    }
    assert!(whole >= 12, "{whole}");
    for known in [
        "shipping_address",
        "expected_total",
        "price",
        "prices[0]",
        "prices[0].compare_at_price",
    ] {
        assert!(within.iter().any(|place| place == known), "{known} in {within:?}");
    }
}
