//! An array in place of an object is rejected by the field's name, at any depth. The OpenAPI document drives
//! the test, so new fields are covered automatically.

use axum::http::{Method, Request};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::people::Person;
use crate::support::shop::TestShop;

/// The schema behind references and nullable alternatives.
fn resolve<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return resolve(document, &document["components"]["schemas"][name]);
    }
    for of in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[of].as_array() {
            let choice = choices.iter().find(|choice| choice["type"] != "null");
            return resolve(document, choice.unwrap());
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

/// For each object in the schema: its path, and a value with an array instead of that object, which contains
/// plausible values of its fields, and nothing else.
fn with_array_for_object(document: &Value, schema: &Value) -> Vec<(String, Value)> {
    let schema = resolve(document, schema);
    if is_of_type(schema, "array") {
        return with_array_for_object(document, &schema["items"])
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
        for (path, value) in with_array_for_object(document, field) {
            all.push((format!(".{name}{path}"), json!({ name: value })));
        }
    }
    all
}

#[tokio::test]
async fn an_array_is_not_accepted_as_an_object_in_any_body() {
    let shop = TestShop::start().await;
    let admin = Person::admin(&shop).await;
    let document = shop.get("/openapi.json").await.ok().json();
    let (mut top_level, mut nested) = (0, Vec::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            // The body of a webhook without a valid signature isn't parsed.
            if schema.is_null() || operation["security"] == json!([{ "carrier": [] }]) {
                continue;
            }
            let path = path
                .replace("{slug}", "product-1")
                .replace("{sku}", "SKU-1-0")
                .replace("{id}", &Uuid::nil().to_string());
            for (position, body) in with_array_for_object(&document, schema) {
                let request = Request::builder()
                    .method(method.to_uppercase().parse::<Method>().unwrap())
                    .uri(&path)
                    .header("idempotency-key", "a");
                let response = shop.send_json(admin.authorize(request), &body).await;
                let problem = response.problem(400, "invalid_parameter");
                let name = format!("{method} {path} {body}: {problem}");
                match position.strip_prefix('.') {
                    None => {
                        assert_eq!(problem["parameter"], "body", "{name}");
                        top_level += 1;
                    }
                    Some(position) => {
                        assert_eq!(problem["parameter"], position, "{name}");
                        assert!(
                            problem["detail"].as_str().unwrap().starts_with("is an array"),
                            "{name}"
                        );
                        nested.push(position.to_owned());
                    }
                }
            }
        }
    }
    assert!(top_level >= 12, "{top_level}");
    for known in [
        "shipping_address",
        "expected_total",
        "price",
        "prices[0]",
        "prices[0].compare_at_price",
    ] {
        assert!(
            nested.iter().any(|position| position == known),
            "{known} in {nested:?}"
        );
    }
}
