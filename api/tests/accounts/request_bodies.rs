//! Bodies with invalid fields, and bodies that aren't JSON.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::people::{PASSWORD, Person, address, post};
use crate::support::response::TestResponse;
use crate::support::shop::{Changes, TestShop};

fn registration(field: &str, value: Value) -> Value {
    let mut body = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    body[field] = value;
    body
}

async fn send(shop: &TestShop, content_type: Option<&str>, body: impl Into<Body>) -> TestResponse {
    let mut request = Request::post("/v1/accounts");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    shop.send_request(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn an_invalid_field_is_named() {
    let shop = TestShop::start().await;
    for (field, value) in [
        ("email", json!("ada")),
        ("email", json!("ada@example.com, eve@example.com")),
        ("email", json!(7)),
        ("email", json!(format!("{}@example.com", "a".repeat(300)))),
        ("password", json!("short")),
        ("password", json!("x".repeat(257))),
        ("password", json!(null)),
        ("name", json!(" ")),
        ("name", json!("a\u{0}b")),
        ("name", json!("x".repeat(256))),
        ("name", json!(["Ada"])),
        ("role", json!("admin")),
        ("id", json!("00000000-0000-0000-0000-000000000001")),
    ] {
        let response = post(&shop, "/v1/accounts", &registration(field, value.clone())).await;
        assert_eq!(
            response.problem(400, "invalid_parameter")["parameter"],
            field,
            "{value}"
        );
        assert!(!response.text().contains("correct horse"));
    }
    assert_eq!(shop.database.number("select count(*) from customers").await, 0);
}

#[tokio::test]
async fn an_address_needs_an_existing_country() {
    let shop = TestShop::start().await;
    let ada = Person::new(&shop, "ada").await;
    let mut invalid = address("Bergen");
    invalid.as_object_mut().unwrap().remove("country");
    let response = ada.post(&shop, "/v1/me/addresses", &invalid).await;
    let problem = response.problem(400, "invalid_parameter");
    assert!(problem["detail"].as_str().unwrap().contains("country"));
    for country in ["XX", "no", "NOR", ""] {
        invalid["country"] = country.into();
        let response = ada.post(&shop, "/v1/me/addresses", &invalid).await;
        assert_eq!(response.problem(400, "invalid_parameter")["parameter"], "country");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_rejected() {
    let shop = TestShop::start().await;
    let valid = registration("name", json!("Ada")).to_string();
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("json"),
    ] {
        send(&shop, content_type, valid.clone())
            .await
            .problem(415, "unsupported_media_type");
    }
    let json = Some("application/json; charset=utf-8");
    for body in ["", "{", "null", "[]", "ada", "\u{0}", "{}{}"] {
        send(&shop, json, body).await.problem(400, "invalid_parameter");
    }
    send(&shop, json, format!("{valid} {{}}"))
        .await
        .problem(400, "invalid_parameter");
    send(&shop, json, vec![0xff, 0xfe, b'{'])
        .await
        .problem(400, "invalid_parameter");
    let duplicate = valid.replace("\"name\"", "\"name\":\"Eve\",\"name\"");
    send(&shop, json, duplicate)
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(send(&shop, json, valid).await.status, 201);
}

#[tokio::test]
async fn nesting_depth_is_bounded() {
    let shop = TestShop::start().await;
    let json = Some("application/json");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        assert!(deep.len() < 65_536, "the depth is the reason, not the size");
        send(&shop, json, deep.clone())
            .await
            .problem(400, "invalid_parameter");
        let nested = format!(r#"{{"email": {deep}}}"#);
        let response = send(&shop, json, nested).await;
        assert_eq!(response.problem(400, "invalid_parameter")["parameter"], "email");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_rejected() {
    let shop = TestShop::start_with(Changes::default().set("--max-body-bytes", 1_000)).await;
    let json = Some("application/json");
    let exactly = |bytes: usize| {
        let short = registration("name", json!("Ada")).to_string();
        format!("{short}{}", " ".repeat(bytes - short.len()))
    };
    send(&shop, json, exactly(1_001))
        .await
        .problem(413, "payload_too_large");
    assert_eq!(send(&shop, json, exactly(1_000)).await.status, 201);
}
