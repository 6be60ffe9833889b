//! Guessing is limited, and tells nothing.

use axum::http::Request;
use futures_util::future::join_all;
use serde_json::json;
use storefront::variants::Indexes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::people::{PASSWORD, Person, post, sign_in};
use crate::support::answer::Answer;
use crate::support::database::{Content, Database};
use crate::support::process::{Process, settings};
use crate::support::shop::{Changes, TestShop};

async fn limited(per_email: u32, per_client: u32) -> TestShop {
    let changes = Changes::default()
        .set("--sign-in-failures-per-email", per_email)
        .set("--sign-in-failures-per-client", per_client)
        .set("--client-address-header", "x-forwarded-for");
    TestShop::start_with("optimized", changes).await
}

async fn from(shop: &TestShop, client: &str, email: &str, password: &str) -> Answer {
    let request = Request::post("/v1/sessions").header("x-forwarded-for", client);
    shop.send_json(request, &json!({ "email": email, "password": password }))
        .await
}

/// The problem apart from what differs between any two requests.
fn said(answer: &Answer) -> (u16, String, Option<String>) {
    (
        answer.status.as_u16(),
        answer.text(),
        answer.header("www-authenticate").map(str::to_owned),
    )
}

#[tokio::test]
async fn an_unknown_email_and_a_wrong_password_are_answered_alike_after_the_same_work() {
    for variants in super::people::arms() {
        let shop = TestShop::start(&variants.to_string()).await;
        Person::new(&shop, "ada").await;
        let work = async |email: &str| {
            let before = shop.state.passwords.computed();
            let answer = sign_in(&shop, email, "wrong horse").await;
            answer.problem(401, "wrong_credentials");
            (
                said(&answer),
                answer.statements(),
                shop.state.passwords.computed() - before,
            )
        };
        let known = work("ada@example.com").await;
        assert_eq!(known, work("eve@example.com").await, "{variants}");
        assert_eq!(known.2, 1, "{variants}");
    }
}

#[tokio::test]
async fn after_too_many_failures_an_email_is_closed_for_a_while() {
    let shop = limited(3, 1_000).await;
    Person::new(&shop, "ada").await;
    let email = "ada@example.com";
    for _ in 0..3 {
        sign_in(&shop, email, "wrong horse")
            .await
            .problem(401, "wrong_credentials");
    }
    // Also for who knows the password: else the answer would tell that it was guessed.
    let before = shop.state.passwords.computed();
    let closed = sign_in(&shop, email, PASSWORD).await;
    closed.problem(429, "too_many_attempts");
    assert_eq!(shop.state.passwords.computed(), before, "nothing is hashed");
    let seconds: u32 = closed.header("retry-after").unwrap().parse().unwrap();
    assert!((890..=901).contains(&seconds), "{seconds}");
    // An email that nobody has is closed as well.
    for _ in 0..3 {
        sign_in(&shop, "eve@example.com", "wrong horse")
            .await
            .problem(401, "wrong_credentials");
    }
    sign_in(&shop, "eve@example.com", "wrong horse")
        .await
        .problem(429, "too_many_attempts");
    shop.database
        .execute("update sign_in_failures set until = now() - interval '1 second'")
        .await;
    assert_eq!(sign_in(&shop, email, PASSWORD).await.status, 201);
}

#[tokio::test]
async fn who_signs_in_begins_anew_and_its_client_does_not() {
    let shop = limited(3, 1_000).await;
    Person::new(&shop, "ada").await;
    for _ in 0..5 {
        for _ in 0..2 {
            sign_in(&shop, "ada@example.com", "wrong horse").await;
        }
        assert_eq!(sign_in(&shop, "ada@example.com", PASSWORD).await.status, 201);
    }
    let failures = shop
        .database
        .json("select jsonb_agg(failures) from sign_in_failures")
        .await;
    assert_eq!(failures, json!([10]));
}

#[tokio::test]
async fn a_client_that_tries_many_emails_is_closed_and_others_are_not() {
    let shop = limited(1_000, 4).await;
    Person::new(&shop, "ada").await;
    for guess in 0..4 {
        from(&shop, "6.6.6.6", &format!("{guess}@example.com"), "wrong horse")
            .await
            .problem(401, "wrong_credentials");
    }
    // What the client itself writes before the proxy's entry changes nothing.
    for client in ["6.6.6.6", "1.1.1.1, 6.6.6.6"] {
        from(&shop, client, "ada@example.com", PASSWORD)
            .await
            .problem(429, "too_many_attempts");
    }
    let registration = json!({ "email": "new@example.com", "password": PASSWORD, "name": "Eve" });
    let request = || Request::post("/v1/accounts").header("x-forwarded-for", "6.6.6.6");
    shop.send_json(request(), &registration)
        .await
        .problem(429, "too_many_attempts");
    assert_eq!(
        from(&shop, "7.7.7.7", "ada@example.com", PASSWORD).await.status,
        201
    );
}

#[tokio::test]
async fn asking_which_emails_have_an_account_is_limited() {
    let shop = limited(1_000, 3).await;
    Person::new(&shop, "ada").await;
    let taken = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Eve" });
    for _ in 0..3 {
        post(&shop, "/v1/accounts", &taken)
            .await
            .problem(409, "email_taken");
    }
    post(&shop, "/v1/accounts", &taken)
        .await
        .problem(429, "too_many_attempts");
}

#[tokio::test]
async fn guesses_that_come_at_once_are_all_counted() {
    let shop = limited(5, 1_000).await;
    Person::new(&shop, "ada").await;
    let before = shop.state.passwords.computed();
    let answers = join_all((0..20).map(|_| sign_in(&shop, "ada@example.com", "wrong horse"))).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(looked_at, 5);
    assert_eq!(shop.state.passwords.computed() - before, 5);
}

/// The real service knows who connects.
#[tokio::test]
async fn without_a_proxy_the_address_that_connects_is_the_clients() {
    let database = Database::new(Content::Schema, Indexes::Chosen).await;
    let process = Process::serve(&settings(&database)).await;
    let body = json!({ "email": "ada@example.com", "password": "wrong horse" }).to_string();
    let request = format!(
        "POST /v1/sessions HTTP/1.1\r\nhost: shop\r\nconnection: close\r\nx-forwarded-for: 6.6.6.6\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(process.public).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");
    let counted =
        "select count(*) from sign_in_failures where counted_under = sha256('client:127.0.0.1'::bytea)";
    assert_eq!(database.number(counted).await, 1);
}
