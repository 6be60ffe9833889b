//! The lesson `sessions`: the cost of authenticating a request, and the effect of a sign-out.

use std::sync::Arc;

use super::people::Person;
use crate::support::arms::{arm, arms_of, has_arm, lesson};
use crate::support::private_redis::PrivateRedis;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

/// The statements of `GET /v1/me` apart from the one that reads the customer.
async fn statements(shop: &TestShop, person: &Person) -> u64 {
    person.get(shop, "/v1/me").await.ok().statements() - 1
}

#[tokio::test]
async fn authentication_takes_at_most_one_statement() {
    for variants in arms_of("sessions") {
        let shop = TestShop::start(&variants.to_string()).await;
        let ada = Person::new(&shop, "ada").await;
        let expected = match variants.sessions.as_str() {
            "table" => [1, 1, 1],
            // The first request is a miss in Redis.
            "redis" => [1, 0, 0],
            _ => [0, 0, 0],
        };
        for expected in expected {
            assert_eq!(statements(&shop, &ada).await, expected, "{variants}");
        }
    }
}

/// The difference between the arms.
#[tokio::test]
async fn a_sign_out_revokes_stored_sessions_but_not_signed_tokens() {
    for variants in arms_of("sessions") {
        let shop = TestShop::start(&variants.to_string()).await;
        let ada = Person::new(&shop, "ada").await;
        assert!(ada.is_signed_in(&shop).await);
        assert_eq!(ada.delete(&shop, "/v1/sessions/current").await.status, 204);
        assert_eq!(
            ada.is_signed_in(&shop).await,
            variants.sessions.as_str() == "jwt",
            "{variants}"
        );
    }
}

#[tokio::test]
async fn a_new_role_takes_effect_with_the_next_tokens() {
    for variants in arms_of("sessions") {
        let shop = TestShop::start(&variants.to_string()).await;
        let ada = Person::new(&shop, "ada").await;
        shop.database.execute("update customers set role = 'admin'").await;
        let refreshed = super::people::refresh(&shop, &ada.refresh_token).await;
        let ada = Person::signed_in(&ada.email, &refreshed);
        assert_eq!(
            ada.get(&shop, "/v1/me").await.ok().json()["role"],
            "admin",
            "{variants}"
        );
        let all_orders = ada.get(&shop, "/v1/admin/orders").await;
        assert_ne!(
            all_orders.status, 403,
            "{variants}: the new tokens have the new role"
        );
    }
}

async fn shop_with(redis: &PrivateRedis) -> TestShop {
    let changes = Changes::default()
        .set("--redis-url", redis.url())
        // Short, because the test waits for it.
        .set("--redis-timeout-ms", 100);
    TestShop::start_with(&arm(lesson("sessions"), "redis").to_string(), changes).await
}

#[tokio::test]
async fn without_redis_authentication_falls_back_to_the_table_and_sign_out_is_unavailable() {
    if !has_arm("sessions", "redis") {
        return;
    }
    let mut redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let ada = Person::new(&shop, "ada").await;
    assert_eq!(
        [statements(&shop, &ada).await, statements(&shop, &ada).await],
        [1, 0]
    );
    redis.kill();
    for _ in 0..3 {
        assert_eq!(statements(&shop, &ada).await, 1);
    }
    // A sign-out is rejected, because Redis would still have the session after its outage.
    ada.delete(&shop, "/v1/sessions/current")
        .await
        .problem(503, "unavailable");
    assert!(ada.is_signed_in(&shop).await);
    redis.restart().await;
    until("Redis is used again", async || {
        (statements(&shop, &ada).await == 0).then_some(())
    })
    .await;
    assert_eq!(ada.delete(&shop, "/v1/sessions/current").await.status, 204);
    assert!(!ada.is_signed_in(&shop).await);
}

/// A request that read the row before the sign-out may cache it afterwards.
#[tokio::test]
async fn a_late_reader_does_not_restore_a_revoked_session() {
    if !has_arm("sessions", "redis") {
        return;
    }
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let ada = Person::new(&shop, "ada").await;
    assert!(ada.is_signed_in(&shop).await);
    let mut connection = redis.connect().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*session:*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let [key] = <[String; 1]>::try_from(keys).unwrap();
    let cached: Vec<u8> = redis::cmd("GET")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(ada.delete(&shop, "/v1/sessions/current").await.status, 204);
    // The write of such a reader.
    let late = redis::cmd("SET")
        .arg(&key)
        .arg(cached)
        .arg("NX")
        .query_async::<Option<String>>(&mut connection)
        .await
        .unwrap();
    assert_eq!(late, None);
    assert!(!ada.is_signed_in(&shop).await);
}

#[tokio::test]
async fn a_sign_out_in_one_process_applies_to_all() {
    for variants in arms_of("sessions") {
        if variants.sessions.as_str() == "jwt" {
            continue;
        }
        let one = TestShop::start(&variants.to_string()).await;
        let shared = Changes::default().set("--redis-prefix", &one.redis_prefix);
        let other = TestShop::on(Arc::clone(&one.database), variants, shared).await;
        let ada = Person::new(&one, "ada").await;
        assert!(ada.is_signed_in(&other).await);
        assert_eq!(ada.delete(&one, "/v1/sessions/current").await.status, 204);
        assert!(!ada.is_signed_in(&other).await, "{variants}");
    }
}

/// A leaked database dump contains no usable token.
#[tokio::test]
async fn the_database_contains_no_tokens() {
    for variants in arms_of("sessions") {
        let shop = TestShop::start(&variants.to_string()).await;
        let ada = Person::new(&shop, "ada").await;
        let rows = shop
            .database
            .json("select jsonb_build_array((select jsonb_agg(s) from sessions s), (select jsonb_agg(r) from refresh_tokens r), (select jsonb_agg(c) from customers c))")
            .await
            .to_string();
        for secret in [&ada.access_token, &ada.refresh_token, "correct horse"] {
            assert!(!rows.contains(secret), "{variants}");
        }
        assert!(rows.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{rows}");
    }
}
