//! The cost of authenticating a request, and the effect of a sign-out.

use super::people::Person;
use crate::support::arms::each_arm;
use crate::support::shop::TestShop;

/// The statements of `GET /v1/me` apart from the one that reads the customer.
pub async fn statements(shop: &TestShop, person: &Person) -> u64 {
    person.get(shop, "/v1/me").await.ok().statements() - 1
}

#[tokio::test]
async fn authentication_takes_no_statement() {
    let shop = TestShop::start().await;
    let ada = Person::new(&shop, "ada").await;
    for _ in 0..3 {
        assert_eq!(statements(&shop, &ada).await, 0);
    }
}

/// It isn't looked up, so it remains valid until it expires.
#[tokio::test]
async fn an_access_token_outlives_its_sign_out() {
    let shop = TestShop::start().await;
    assert!(signed_out(&shop).await.is_signed_in(&shop).await);
}

pub async fn signed_out(shop: &TestShop) -> Person {
    let ada = Person::new(shop, "ada").await;
    assert!(ada.is_signed_in(shop).await);
    assert_eq!(ada.delete(shop, "/v1/sessions/current").await.status, 204);
    ada
}

#[tokio::test]
async fn a_new_role_takes_effect_with_the_next_tokens() {
    each_arm("sessions", async || {
        let shop = TestShop::start().await;
        let ada = Person::new(&shop, "ada").await;
        shop.database.execute("update customers set role = 'admin'").await;
        let refreshed = super::people::refresh(&shop, &ada.refresh_token).await;
        let ada = Person::signed_in(&ada.email, &refreshed);
        assert_eq!(ada.get(&shop, "/v1/me").await.ok().json()["role"], "admin");
        let all_orders = ada.get(&shop, "/v1/admin/orders").await;
        assert_ne!(all_orders.status, 403, "the new tokens have the new role");
    })
    .await;
}

/// A leaked database dump contains no usable token.
#[tokio::test]
async fn the_database_contains_no_tokens() {
    each_arm("sessions", async || {
        let shop = TestShop::start().await;
        let ada = Person::new(&shop, "ada").await;
        let rows = shop
            .database
            .json("select jsonb_build_array((select jsonb_agg(s) from sessions s), (select jsonb_agg(r) from refresh_tokens r), (select jsonb_agg(c) from customers c))")
            .await
            .to_string();
        for secret in [&ada.access_token, &ada.refresh_token, "correct horse"] {
            assert!(!rows.contains(secret));
        }
        assert!(rows.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{rows}");
    })
    .await;
}
