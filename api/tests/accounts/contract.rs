//! Accounts: registration, the profile and its addresses.

use axum::http::Request;
use serde_json::{Value, json};

use super::people::{PASSWORD, Person, address, post, sign_in};
use crate::support::arms::each_arm;
use crate::support::shop::{Changes, TestShop};

#[tokio::test]
async fn a_customer_registers_signs_in_sees_the_profile_and_signs_out() {
    each_arm("sessions,password_hashing,welcome_email", async || {
        let shop = TestShop::start().await;
        let registration = json!({ "email": " Ada@Example.com", "password": PASSWORD, "name": " Ada " });
        let response = post(&shop, "/v1/accounts", &registration).await;
        assert_eq!(response.status, 201, "{}", response.text());
        let registered = response.json();
        assert_eq!(registered["email"], "ada@example.com");
        assert_eq!(
            (&registered["name"], &registered["role"]),
            (&json!("Ada"), &json!("customer"))
        );
        let response = sign_in(&shop, "ADA@example.com", PASSWORD).await;
        let tokens = response.json();
        assert_eq!(
            (&tokens["token_type"], &tokens["expires_in"]),
            (&json!("Bearer"), &json!(900))
        );
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let ada = Person::signed_in("ada@example.com", &response);
        assert_eq!(ada.get(&shop, "/v1/me").await.ok().json(), registered);
        assert_eq!(ada.delete(&shop, "/v1/sessions/current").await.status, 204);
    })
    .await;
}

#[tokio::test]
async fn only_the_name_can_be_changed() {
    let shop = TestShop::start().await;
    let ada = Person::new(&shop, "ada").await;
    let patch = async |body: Value| {
        shop.send_json(ada.authorize(Request::patch("/v1/me")), &body)
            .await
    };
    assert_eq!(
        patch(json!({ "name": "Countess" })).await.ok().json()["name"],
        "Countess"
    );
    assert_eq!(patch(json!({})).await.ok().json()["name"], "Countess");
    for field in ["role", "email", "id", "password_hash"] {
        let response = patch(json!({ field: "admin" })).await;
        assert_eq!(response.problem(400, "invalid_parameter")["parameter"], field);
    }
}

#[tokio::test]
async fn an_email_has_one_account_in_any_case() {
    let shop = TestShop::start().await;
    Person::new(&shop, "ada").await;
    let again = json!({ "email": "ADA@EXAMPLE.COM", "password": "another one", "name": "Eve" });
    post(&shop, "/v1/accounts", &again)
        .await
        .problem(409, "email_taken");
    assert_eq!(sign_in(&shop, "ada@example.com", PASSWORD).await.status, 201);
    assert_eq!(shop.database.number("select count(*) from outbox").await, 1);
}

#[tokio::test]
async fn addresses_are_added_changed_and_removed() {
    let shop = TestShop::start_with(Changes::default().set("--max-addresses", 2)).await;
    let ada = Person::new(&shop, "ada").await;
    let list = async || ada.get(&shop, "/v1/me/addresses").await.ok().json()["items"].clone();
    assert_eq!(list().await, json!([]));
    let first = ada.post(&shop, "/v1/me/addresses", &address("Bergen")).await;
    assert_eq!(first.status, 201);
    let first = first.json();
    assert_eq!(
        ada.post(&shop, "/v1/me/addresses", &address("Oslo")).await.status,
        201
    );
    ada.post(&shop, "/v1/me/addresses", &address("Tromsø"))
        .await
        .problem(409, "too_many_addresses");
    let path = format!("/v1/me/addresses/{}", first["id"].as_str().unwrap());
    let changed = shop
        .send_json(ada.authorize(Request::put(&path)), &address("Voss"))
        .await
        .ok()
        .json();
    assert_eq!((&changed["id"], &changed["city"]), (&first["id"], &json!("Voss")));
    let cities: Vec<Value> = list()
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|address| address["city"].clone())
        .collect();
    assert_eq!(cities, ["Voss", "Oslo"]);
    assert_eq!(ada.delete(&shop, &path).await.status, 204);
    ada.delete(&shop, &path).await.problem(404, "not_found");
    assert_eq!(list().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn concurrent_requests_do_not_exceed_the_maximum_of_addresses() {
    let shop = TestShop::start_with(Changes::default().set("--max-addresses", 3)).await;
    let ada = Person::new(&shop, "ada").await;
    let bergen = address("Bergen");
    let adding = (0..10).map(|_| ada.post(&shop, "/v1/me/addresses", &bergen));
    let responses = futures_util::future::join_all(adding).await;
    let added = responses.iter().filter(|response| response.status == 201).count();
    assert_eq!(added, 3);
    assert_eq!(shop.database.number("select count(*) from addresses").await, 3);
}

/// A statement fails in the middle of a transaction; the connection is rolled back before it is reused.
#[tokio::test]
async fn a_failed_transaction_leaves_no_rows_and_no_open_connection() {
    let shop = TestShop::start_with(Changes::default().set("--database-connections", 1)).await;
    shop.database
        .execute("alter table outbox add constraint full_up check (false)")
        .await;
    let registration = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    post(&shop, "/v1/accounts", &registration)
        .await
        .problem(500, "internal");
    assert_eq!(shop.database.number("select count(*) from customers").await, 0);
    shop.database
        .execute("alter table outbox drop constraint full_up")
        .await;
    let response = post(&shop, "/v1/accounts", &registration).await;
    assert_eq!(response.status, 201);
    assert_eq!(shop.database.number("select count(*) from customers").await, 1);
}
