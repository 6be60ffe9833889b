//! The OpenAPI document is correct for every route: its statuses, also for invalid requests, and its
//! cacheability.

use axum::body::Body;

use super::operations::{Operation, operations, token_of};
use crate::support::shop::{Changes, TestShop};

const CUSTOMER: &str = "0e000000-0000-7000-8000-00000000000e";
const ADMIN: &str = "0f000000-0000-7000-8000-00000000000f";

/// Larger than every valid body.
const MAX_BODY_BYTES: usize = 4_000;

async fn shop_with_customers() -> TestShop {
    let changes = Changes::default()
        .set("--max-body-bytes", MAX_BODY_BYTES)
        // Each route gets many requests.
        .set("--sign-in-failures-per-email", 1_000)
        .set("--sign-in-failures-per-client", 1_000);
    let shop = TestShop::start_with(changes).await;
    shop.database
        .execute(&format!(
            "insert into customers (id, email, name, role, password_hash) values
             ('{CUSTOMER}', 'ada@example.com', 'Ada', 'customer', 'none'),
             ('{ADMIN}', 'admin@example.com', 'Admin', 'admin', 'none')"
        ))
        .await;
    shop
}

/// An access token that the operation accepts.
fn accepted_token(operation: &Operation) -> Option<String> {
    match (operation.takes_bearer(), operation.is_for_admins()) {
        (false, _) => None,
        (true, false) => Some(token_of(CUSTOMER, "customer")),
        (true, true) => Some(token_of(ADMIN, "admin")),
    }
}

#[tokio::test]
async fn every_route_declares_its_statuses() {
    let shop = shop_with_customers().await;
    for operation in operations(&shop).await {
        let path = operation.concrete_path();
        let unknown = ["none", "no-such-thing"].map(|name| with_names(&operation, name));
        let customer = token_of(CUSTOMER, "customer");
        let tokens = [
            None,
            accepted_token(&operation),
            Some("forged".to_owned()),
            Some(customer),
        ];
        for token in tokens.iter().map(Option::as_deref) {
            for path in [&path, &unknown[0], &unknown[1]] {
                operation.assert_declares(&shop.send_request(operation.request_to(path, token)).await);
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_parameter_is_a_declared_problem() {
    let shop = shop_with_customers().await;
    for operation in operations(&shop).await {
        let token = accepted_token(&operation);
        let path = operation.concrete_path();
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}surely=unknown");
        let response = shop
            .send_request(operation.request_to(&path, token.as_deref()))
            .await;
        operation.assert_declares(&response);
        let problem = response.problem(400, "invalid_parameter");
        // A missing required parameter may be reported first.
        let named = &problem["parameter"];
        assert!(
            named == "surely" || named == "q",
            "{}: {problem}",
            operation.name()
        );
        for name in operation.tokens() {
            let request = operation.head(&operation.concrete_path(), token.as_deref());
            let request = request
                .header(name, "not a token")
                .header("content-type", "application/json");
            let body = Body::from(operation.body().unwrap_or_default());
            let response = shop.send_request(request.body(body).unwrap()).await;
            operation.assert_declares(&response);
            assert_eq!(response.problem(400, "invalid_parameter")["parameter"], name);
        }
    }
}

#[tokio::test]
async fn an_invalid_body_is_a_declared_problem() {
    let shop = shop_with_customers().await;
    let mut tried = 0;
    for operation in operations(&shop).await {
        let Some(body) = operation.body() else {
            continue;
        };
        let token = accepted_token(&operation);
        let send = async |kind: Option<&str>, body: String| {
            let mut request = operation.head(&operation.concrete_path(), token.as_deref());
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let response = shop.send_request(request.body(Body::from(body)).unwrap()).await;
            operation.assert_declares(&response);
            response
        };
        let json = Some("application/json");
        let large = format!("{body}{}", " ".repeat(MAX_BODY_BYTES));
        send(json, large).await.problem(413, "payload_too_large");
        for broken in ["{", "[]", "\u{0}"] {
            send(json, broken.to_owned())
                .await
                .problem(400, "invalid_parameter");
        }
        let undeclared = send(None, body).await;
        if operation.declares_status(415) {
            undeclared.problem(415, "unsupported_media_type");
        }
        tried += 1;
    }
    assert!(tried >= 12, "{tried}");
}

#[tokio::test]
async fn no_cache_may_store_personal_responses() {
    let shop = shop_with_customers().await;
    let (mut cacheable, mut private) = (0, 0);
    for operation in operations(&shop).await {
        for token in [None, accepted_token(&operation)] {
            let response = shop.send_request(operation.request(token.as_deref())).await;
            let expected = (!operation.is_public()).then_some("no-store");
            assert_eq!(
                response.header("cache-control"),
                expected,
                "{}: {}",
                operation.name(),
                response.text()
            );
        }
        match operation.is_public() {
            true => cacheable += 1,
            false => private += 1,
        }
    }
    assert!(cacheable >= 6 && private >= 20, "{cacheable}, {private}");
}

/// The path with this name for each id, slug and SKU.
fn with_names(operation: &Operation, name: &str) -> String {
    let segments = operation
        .path
        .split('/')
        .map(|segment| match segment.starts_with('{') {
            true => name,
            false => segment,
        });
    segments.collect::<Vec<_>>().join("/")
}
