//! What the document says of every route is so: how it may answer, also to what nobody should send, and who may keep it.

use axum::body::Body;

use super::operations::{Operation, operations, token_of};
use crate::support::shop::{Changes, TestShop};

const CUSTOMER: &str = "0e000000-0000-7000-8000-00000000000e";
const ADMIN: &str = "0f000000-0000-7000-8000-00000000000f";

/// Far more than any body that a route admits.
const MAX_BODY_BYTES: usize = 4_000;

async fn shop_with_people() -> TestShop {
    let changes = Changes::default()
        .set("--max-body-bytes", MAX_BODY_BYTES)
        // Every route is asked many times.
        .set("--sign-in-failures-per-email", 1_000)
        .set("--sign-in-failures-per-client", 1_000);
    let shop = TestShop::start_with("optimized", changes).await;
    shop.database
        .execute(&format!(
            "insert into customers (id, email, name, role, password_hash) values
             ('{CUSTOMER}', 'ada@example.com', 'Ada', 'customer', 'none'),
             ('{ADMIN}', 'admin@example.com', 'Admin', 'admin', 'none')"
        ))
        .await;
    shop
}

/// Somebody who may ask.
fn welcome(operation: &Operation) -> Option<String> {
    match (operation.takes_bearer(), operation.is_for_admins()) {
        (false, _) => None,
        (true, false) => Some(token_of(CUSTOMER, "customer")),
        (true, true) => Some(token_of(ADMIN, "admin")),
    }
}

#[tokio::test]
async fn every_route_declares_how_it_answers() {
    let shop = shop_with_people().await;
    for operation in operations(&shop).await {
        let path = operation.real_path();
        let unknown = ["none", "no-such-thing"].map(|name| with_names(&operation, name));
        let customer = token_of(CUSTOMER, "customer");
        let askers = [
            None,
            welcome(&operation),
            Some("forged".to_owned()),
            Some(customer),
        ];
        for token in askers.iter().map(Option::as_deref) {
            for path in [&path, &unknown[0], &unknown[1]] {
                operation.declares(&shop.answer(operation.sent_to(path, token)).await);
            }
        }
    }
}

#[tokio::test]
async fn what_a_route_does_not_take_is_a_problem_that_it_declares() {
    let shop = shop_with_people().await;
    for operation in operations(&shop).await {
        let token = welcome(&operation);
        let path = operation.real_path();
        let and = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{and}surely=unknown");
        let answer = shop.answer(operation.sent_to(&path, token.as_deref())).await;
        operation.declares(&answer);
        let problem = answer.problem(400, "invalid_parameter");
        // The one that is required may be missed before.
        let named = &problem["parameter"];
        assert!(
            named == "surely" || named == "q",
            "{}: {problem}",
            operation.name()
        );
        for name in operation.tokens() {
            let request = operation.head(&operation.real_path(), token.as_deref());
            let request = request
                .header(name, "no token of ours")
                .header("content-type", "application/json");
            let body = Body::from(operation.body().unwrap_or_default());
            let answer = shop.answer(request.body(body).unwrap()).await;
            operation.declares(&answer);
            assert_eq!(answer.problem(400, "invalid_parameter")["parameter"], name);
        }
    }
}

#[tokio::test]
async fn a_body_that_is_none_is_a_problem_that_its_route_declares() {
    let shop = shop_with_people().await;
    let mut tried = 0;
    for operation in operations(&shop).await {
        let Some(body) = operation.body() else {
            continue;
        };
        let token = welcome(&operation);
        let send = async |kind: Option<&str>, body: String| {
            let mut request = operation.head(&operation.real_path(), token.as_deref());
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let answer = shop.answer(request.body(Body::from(body)).unwrap()).await;
            operation.declares(&answer);
            answer
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
async fn no_cache_may_keep_what_is_somebodys() {
    let shop = shop_with_people().await;
    let (mut kept, mut not_kept) = (0, 0);
    for operation in operations(&shop).await {
        for token in [None, welcome(&operation)] {
            let answer = shop.answer(operation.request(token.as_deref())).await;
            let expected = (!operation.is_for_everybody()).then_some("no-store");
            assert_eq!(
                answer.header("cache-control"),
                expected,
                "{}: {}",
                operation.name(),
                answer.text()
            );
        }
        match operation.is_for_everybody() {
            true => kept += 1,
            false => not_kept += 1,
        }
    }
    assert!(kept >= 6 && not_kept >= 20, "{kept}, {not_kept}");
}

/// Its path, where each id, slug and SKU is this.
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
