//! Guessing passwords is rate-limited, and the responses reveal nothing about accounts.

use axum::http::Request;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::people::{PASSWORD, Person, post, sign_in};
use crate::support::arms::each_arm;
use crate::support::database::{Content, Database};
use crate::support::process::{Process, settings};
use crate::support::response::TestResponse;
use crate::support::shop::{Changes, TestShop};

async fn shop_with_limits(per_email: u32, per_client: u32) -> TestShop {
    let changes = Changes::default()
        .set("--sign-in-failures-per-email", per_email)
        .set("--sign-in-failures-per-client", per_client)
        .set("--client-address-header", "x-forwarded-for");
    TestShop::start_with(changes).await
}

async fn sign_in_from(shop: &TestShop, client: &str, email: &str, password: &str) -> TestResponse {
    let request = Request::post("/v1/sessions").header("x-forwarded-for", client);
    shop.send_json(request, &json!({ "email": email, "password": password }))
        .await
}

/// All failure counters.
async fn failures(shop: &TestShop) -> Value {
    shop.database
        .json("select jsonb_agg(failures) from sign_in_failures")
        .await
}

/// The parts of a problem that must not depend on the account.
fn visible_parts(response: &TestResponse) -> (u16, String, Option<String>) {
    (
        response.status.as_u16(),
        response.text(),
        response.header("www-authenticate").map(str::to_owned),
    )
}

#[tokio::test]
async fn an_unknown_email_and_a_wrong_password_get_the_same_response_for_the_same_work() {
    each_arm("sessions,password_hashing,welcome_email", async || {
        let shop = TestShop::start().await;
        Person::new(&shop, "ada").await;
        let work = async |email: &str| {
            let before = shop.state.passwords.computed();
            let response = sign_in(&shop, email, "wrong horse").await;
            response.problem(401, "wrong_credentials");
            (
                visible_parts(&response),
                response.statements(),
                shop.state.passwords.computed() - before,
            )
        };
        let known = work("ada@example.com").await;
        assert_eq!(known, work("eve@example.com").await);
        assert_eq!(known.2, 1);
    })
    .await;
}

#[tokio::test]
async fn an_email_is_locked_out_for_a_while_after_too_many_failures() {
    let shop = shop_with_limits(3, 1_000).await;
    Person::new(&shop, "ada").await;
    let email = "ada@example.com";
    for _ in 0..3 {
        sign_in(&shop, email, "wrong horse")
            .await
            .problem(401, "wrong_credentials");
    }
    // The correct password is rejected as well: otherwise the response would confirm a guess.
    let before = shop.state.passwords.computed();
    let locked_out = sign_in(&shop, email, PASSWORD).await;
    locked_out.problem(429, "too_many_attempts");
    assert_eq!(shop.state.passwords.computed(), before, "no hash is computed");
    let seconds: u32 = locked_out.header("retry-after").unwrap().parse().unwrap();
    assert!((890..=901).contains(&seconds), "{seconds}");
    // An unknown email is locked out as well, so that a lockout reveals nothing.
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
async fn signing_in_resets_the_counter_of_the_email_but_not_of_the_client() {
    let shop = shop_with_limits(3, 1_000).await;
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
async fn a_client_that_tries_many_emails_is_locked_out_and_others_are_not() {
    let shop = shop_with_limits(1_000, 4).await;
    Person::new(&shop, "ada").await;
    for guess in 0..4 {
        sign_in_from(&shop, "6.6.6.6", &format!("{guess}@example.com"), "wrong horse")
            .await
            .problem(401, "wrong_credentials");
    }
    // Entries that the client adds before the proxy's entry have no effect.
    for client in ["6.6.6.6", "1.1.1.1, 6.6.6.6"] {
        sign_in_from(&shop, client, "ada@example.com", PASSWORD)
            .await
            .problem(429, "too_many_attempts");
    }
    let registration = json!({ "email": "new@example.com", "password": PASSWORD, "name": "Eve" });
    let request = || Request::post("/v1/accounts").header("x-forwarded-for", "6.6.6.6");
    shop.send_json(request(), &registration)
        .await
        .problem(429, "too_many_attempts");
    assert_eq!(
        sign_in_from(&shop, "7.7.7.7", "ada@example.com", PASSWORD)
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn probing_which_emails_have_an_account_is_limited() {
    let shop = shop_with_limits(1_000, 3).await;
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
async fn concurrent_guesses_are_all_counted() {
    let shop = shop_with_limits(5, 1_000).await;
    Person::new(&shop, "ada").await;
    let before = shop.state.passwords.computed();
    let responses = join_all((0..20).map(|_| sign_in(&shop, "ada@example.com", "wrong horse"))).await;
    let checked = responses.iter().filter(|response| response.status == 401).count();
    assert_eq!(checked, 5);
    assert_eq!(shop.state.passwords.computed() - before, 5);
}

#[tokio::test]
async fn concurrent_probes_for_taken_emails_are_all_counted() {
    let shop = shop_with_limits(1_000, 5).await;
    Person::new(&shop, "ada").await;
    let taken = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Eve" });
    let responses = join_all((0..20).map(|_| post(&shop, "/v1/accounts", &taken))).await;
    let revealed = responses.iter().filter(|response| response.status == 409).count();
    assert_eq!(revealed, 5);
    let rejected = responses.iter().filter(|response| response.status == 429).count();
    assert_eq!(rejected, 15);
}

#[tokio::test]
async fn successful_registrations_are_not_counted() {
    let shop = shop_with_limits(1_000, 5).await;
    for wave in 0..3 {
        let registrations = (0..5).map(|each| {
            let email = format!("{wave}-{each}@example.com");
            json!({ "email": email, "password": PASSWORD, "name": "Ada" })
        });
        let registrations: Vec<Value> = registrations.collect();
        let responses = join_all(registrations.iter().map(|new| post(&shop, "/v1/accounts", new))).await;
        for response in responses {
            assert_eq!(response.status, 201, "{}", response.text());
        }
        assert_eq!(failures(&shop).await, json!(null));
    }
}

/// A client that retries after a 503 must not be locked out.
#[tokio::test]
async fn attempts_rejected_under_load_are_not_counted() {
    let changes = Changes::default()
        .set("--sign-in-failures-per-email", 1)
        .set("--sign-in-failures-per-client", 1)
        .set("--password-hashes-at-once", 1);
    let calm = TestShop::start_with(changes.clone()).await;
    Person::new(&calm, "ada").await;
    let busy = TestShop::on(
        calm.database.clone(),
        changes.set("--password-wait-timeout-ms", 1),
    )
    .await;
    let new = json!({ "email": "eve@example.com", "password": PASSWORD, "name": "Eve" });
    let (mut sign_ins, mut registrations) = (0, 0);
    while sign_ins < 3 || registrations < 3 {
        let hash = || busy.state.passwords.hash("another's".to_owned());
        let (_, response) = join(hash(), sign_in(&busy, "ada@example.com", PASSWORD)).await;
        sign_ins += count_overloaded(&response);
        assert_eq!(failures(&busy).await, json!(null));
        let (_, response) = join(hash(), post(&busy, "/v1/accounts", &new)).await;
        registrations += count_overloaded(&response);
        assert_eq!(failures(&busy).await, json!(null));
        busy.database
            .execute("delete from customers where email = 'eve@example.com'")
            .await;
    }
    assert_eq!(sign_in(&calm, "ada@example.com", PASSWORD).await.status, 201);
}

fn count_overloaded(response: &TestResponse) -> u32 {
    // If the other hash is quick, there is time for this one.
    if response.status == 201 {
        return 0;
    }
    response.problem(503, "overloaded");
    1
}

#[tokio::test]
async fn attempts_that_fail_with_an_internal_error_are_not_counted() {
    let shop = shop_with_limits(1, 1).await;
    Person::new(&shop, "ada").await;
    let new = json!({ "email": "eve@example.com", "password": PASSWORD, "name": "Eve" });
    for (renaming, restoring) in [
        ("password_hash to mislaid", "mislaid to password_hash"),
        ("email to mislaid", "mislaid to email"),
    ] {
        let rename = async |columns: &str| {
            let statement = format!("alter table customers rename column {columns}");
            shop.database.execute(&statement).await;
        };
        rename(renaming).await;
        for _ in 0..2 {
            sign_in(&shop, "ada@example.com", PASSWORD)
                .await
                .problem(500, "internal");
            post(&shop, "/v1/accounts", &new).await.problem(500, "internal");
            assert_eq!(failures(&shop).await, json!(null));
        }
        rename(restoring).await;
    }
    assert_eq!(sign_in(&shop, "ada@example.com", PASSWORD).await.status, 201);
}

/// Only the real service knows the peer address.
#[tokio::test]
async fn without_a_proxy_the_peer_address_identifies_the_client() {
    let database = Database::new(Content::Schema).await;
    let process = Process::serve(&settings(&database)).await;
    let request = reqwest::Client::new()
        .post(format!("http://{}/v1/sessions", process.public))
        .header("x-forwarded-for", "6.6.6.6")
        .json(&json!({ "email": "ada@example.com", "password": "wrong horse" }));
    assert_eq!(request.send().await.unwrap().status(), 401);
    let counter =
        "select count(*) from sign_in_failures where counted_under = sha256('client:127.0.0.1'::bytea)";
    assert_eq!(database.number(counter).await, 1);
}
