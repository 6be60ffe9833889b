//! Guessing is limited, and tells nothing.

use axum::http::Request;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
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

/// What is counted, of whomever.
async fn failures(shop: &TestShop) -> Value {
    shop.database
        .json("select jsonb_agg(failures) from sign_in_failures")
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
    assert_eq!(failures(&shop).await, json!([10]));
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

#[tokio::test]
async fn questions_for_taken_emails_that_come_at_once_are_all_counted() {
    let shop = limited(1_000, 5).await;
    Person::new(&shop, "ada").await;
    let taken = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Eve" });
    let answers = join_all((0..20).map(|_| post(&shop, "/v1/accounts", &taken))).await;
    let told = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!(told, 5);
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(refused, 15);
}

#[tokio::test]
async fn who_registers_is_not_counted() {
    let shop = limited(1_000, 5).await;
    for wave in 0..3 {
        let registrations = (0..5).map(|each| {
            let email = format!("{wave}-{each}@example.com");
            json!({ "email": email, "password": PASSWORD, "name": "Ada" })
        });
        let registrations: Vec<Value> = registrations.collect();
        let answers = join_all(registrations.iter().map(|new| post(&shop, "/v1/accounts", new))).await;
        for answer in answers {
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        assert_eq!(failures(&shop).await, json!(null));
    }
}

/// A 503 asks to come again, and who does isn't locked out for it.
#[tokio::test]
async fn what_a_busy_shop_did_not_look_at_is_not_counted() {
    let changes = Changes::default()
        .set("--sign-in-failures-per-email", 1)
        .set("--sign-in-failures-per-client", 1)
        .set("--password-hashes-at-once", 1);
    let calm = TestShop::start_with("optimized", changes.clone()).await;
    Person::new(&calm, "ada").await;
    let busy = TestShop::on(
        calm.database.clone(),
        calm.variants,
        changes.set("--password-wait-timeout-ms", 1),
    )
    .await;
    let new = json!({ "email": "eve@example.com", "password": PASSWORD, "name": "Eve" });
    let (mut sign_ins, mut registrations) = (0, 0);
    while sign_ins < 3 || registrations < 3 {
        let hash = || busy.state.passwords.hash("another's".to_owned());
        let (_, answer) = join(hash(), sign_in(&busy, "ada@example.com", PASSWORD)).await;
        sign_ins += was_refused_for_now(&answer);
        assert_eq!(failures(&busy).await, json!(null));
        let (_, answer) = join(hash(), post(&busy, "/v1/accounts", &new)).await;
        registrations += was_refused_for_now(&answer);
        assert_eq!(failures(&busy).await, json!(null));
        busy.database
            .execute("delete from customers where email = 'eve@example.com'")
            .await;
    }
    assert_eq!(sign_in(&calm, "ada@example.com", PASSWORD).await.status, 201);
}

fn was_refused_for_now(answer: &Answer) -> u32 {
    // A hash that was quick leaves time for the customer's.
    if answer.status == 201 {
        return 0;
    }
    answer.problem(503, "overloaded");
    1
}

#[tokio::test]
async fn what_a_broken_shop_did_not_look_at_is_not_counted() {
    let shop = limited(1, 1).await;
    Person::new(&shop, "ada").await;
    let new = json!({ "email": "eve@example.com", "password": PASSWORD, "name": "Eve" });
    for (breaking, mending) in [
        ("password_hash to mislaid", "mislaid to password_hash"),
        ("email to mislaid", "mislaid to email"),
    ] {
        let rename = async |what: &str| {
            let statement = format!("alter table customers rename column {what}");
            shop.database.execute(&statement).await;
        };
        rename(breaking).await;
        for _ in 0..2 {
            sign_in(&shop, "ada@example.com", PASSWORD)
                .await
                .problem(500, "internal");
            post(&shop, "/v1/accounts", &new).await.problem(500, "internal");
            assert_eq!(failures(&shop).await, json!(null));
        }
        rename(mending).await;
    }
    assert_eq!(sign_in(&shop, "ada@example.com", PASSWORD).await.status, 201);
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
