//! Bodies that are no registration, and bodies that are no body.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::people::{PASSWORD, Person, address, post};
use crate::support::answer::Answer;
use crate::support::shop::{Changes, TestShop};

fn registration(field: &str, value: Value) -> Value {
    let mut body = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    body[field] = value;
    body
}

async fn send(shop: &TestShop, content_type: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut request = Request::post("/v1/accounts");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    shop.answer(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named() {
    let shop = TestShop::start("optimized").await;
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
        let refused = post(&shop, "/v1/accounts", &registration(field, value.clone())).await;
        assert_eq!(
            refused.problem(400, "invalid_parameter")["parameter"],
            field,
            "{value}"
        );
        assert!(!refused.text().contains("correct horse"));
    }
    assert_eq!(shop.database.number("select count(*) from customers").await, 0);
}

#[tokio::test]
async fn an_address_has_a_country_that_exists() {
    let shop = TestShop::start("optimized").await;
    let ada = Person::new(&shop, "ada").await;
    let mut nowhere = address("Bergen");
    nowhere.as_object_mut().unwrap().remove("country");
    let refused = ada.post(&shop, "/v1/me/addresses", &nowhere).await;
    let problem = refused.problem(400, "invalid_parameter");
    assert!(problem["detail"].as_str().unwrap().contains("country"));
    for country in ["XX", "no", "NOR", ""] {
        nowhere["country"] = country.into();
        let refused = ada.post(&shop, "/v1/me/addresses", &nowhere).await;
        assert_eq!(refused.problem(400, "invalid_parameter")["parameter"], "country");
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let shop = TestShop::start("optimized").await;
    let whole = registration("name", json!("Ada")).to_string();
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("json"),
    ] {
        send(&shop, content_type, whole.clone())
            .await
            .problem(415, "unsupported_media_type");
    }
    let json = Some("application/json; charset=utf-8");
    for body in ["", "{", "null", "[]", "ada", "\u{0}", "{}{}"] {
        send(&shop, json, body).await.problem(400, "invalid_parameter");
    }
    send(&shop, json, format!("{whole} {{}}"))
        .await
        .problem(400, "invalid_parameter");
    send(&shop, json, vec![0xff, 0xfe, b'{'])
        .await
        .problem(400, "invalid_parameter");
    let twice = whole.replace("\"name\"", "\"name\":\"Eve\",\"name\"");
    send(&shop, json, twice).await.problem(400, "invalid_parameter");
    assert_eq!(send(&shop, json, whole).await.status, 201);
}

#[tokio::test]
async fn nesting_is_bounded() {
    let shop = TestShop::start("optimized").await;
    let json = Some("application/json");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        assert!(deep.len() < 65_536, "it is refused for its depth");
        send(&shop, json, deep.clone())
            .await
            .problem(400, "invalid_parameter");
        let inside = format!(r#"{{"email": {deep}}}"#);
        let refused = send(&shop, json, inside).await;
        assert_eq!(refused.problem(400, "invalid_parameter")["parameter"], "email");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let shop = TestShop::start_with("optimized", Changes::default().set("--max-body-bytes", 1_000)).await;
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
