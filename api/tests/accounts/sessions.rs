//! The lesson `sessions`: what each request pays for being known, and what a sign-out ends.

use std::sync::Arc;

use super::people::Person;
use crate::support::arms::{arm, arms_of, has_arm, lesson};
use crate::support::private_redis::PrivateRedis;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

/// Statements of `GET /v1/me`, of which one reads the customer.
async fn statements(shop: &TestShop, person: &Person) -> u64 {
    person.get(shop, "/v1/me").await.ok().statements() - 1
}

#[tokio::test]
async fn a_request_pays_a_statement_or_none_to_be_known() {
    for variants in arms_of("sessions") {
        let shop = TestShop::start(&variants.to_string()).await;
        let ada = Person::new(&shop, "ada").await;
        let expected = match variants.sessions.as_str() {
            "table" => [1, 1, 1],
            // The first asks for what Redis doesn't know yet.
            "redis" => [1, 0, 0],
            _ => [0, 0, 0],
        };
        for expected in expected {
            assert_eq!(statements(&shop, &ada).await, expected, "{variants}");
        }
    }
}

/// The named difference between the arms.
#[tokio::test]
async fn a_sign_out_ends_what_is_looked_up_and_not_what_is_signed() {
    for variants in arms_of("sessions") {
        let shop = TestShop::start(&variants.to_string()).await;
        let ada = Person::new(&shop, "ada").await;
        assert!(ada.is_known(&shop).await);
        assert_eq!(ada.delete(&shop, "/v1/sessions/current").await.status, 204);
        assert_eq!(
            ada.is_known(&shop).await,
            variants.sessions.as_str() == "jwt",
            "{variants}"
        );
    }
}

#[tokio::test]
async fn a_new_role_is_seen_where_it_is_looked_up() {
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
            "{variants}: the next tokens say the new role"
        );
    }
}

async fn shop_with(redis: &PrivateRedis) -> TestShop {
    let changes = Changes::default()
        .set("--redis-url", redis.url())
        // Short, since the test waits for it.
        .set("--redis-timeout-ms", 100);
    TestShop::start_with(&arm(lesson("sessions"), "redis").to_string(), changes).await
}

#[tokio::test]
async fn without_redis_customers_are_known_by_the_table_and_none_is_told_to_be_signed_out() {
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
    // What Redis can't be told, it would remember when it is back.
    ada.delete(&shop, "/v1/sessions/current")
        .await
        .problem(503, "unavailable");
    assert!(ada.is_known(&shop).await);
    redis.start_again().await;
    until("Redis is used again", async || {
        (statements(&shop, &ada).await == 0).then_some(())
    })
    .await;
    assert_eq!(ada.delete(&shop, "/v1/sessions/current").await.status, 204);
    assert!(!ada.is_known(&shop).await);
}

/// A request that has read the row before the sign-out keeps it in Redis after.
#[tokio::test]
async fn a_late_reader_does_not_bring_a_session_back() {
    if !has_arm("sessions", "redis") {
        return;
    }
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let ada = Person::new(&shop, "ada").await;
    assert!(ada.is_known(&shop).await);
    let mut connection = redis.connect().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*session:*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let [key] = <[String; 1]>::try_from(keys).unwrap();
    let kept: Vec<u8> = redis::cmd("GET")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(ada.delete(&shop, "/v1/sessions/current").await.status, 204);
    // What such a reader does.
    let late = redis::cmd("SET")
        .arg(&key)
        .arg(kept)
        .arg("NX")
        .query_async::<Option<String>>(&mut connection)
        .await
        .unwrap();
    assert_eq!(late, None);
    assert!(!ada.is_known(&shop).await);
}

#[tokio::test]
async fn what_one_process_signs_out_another_does_not_know() {
    for variants in arms_of("sessions") {
        if variants.sessions.as_str() == "jwt" {
            continue;
        }
        let one = TestShop::start(&variants.to_string()).await;
        let shared = Changes::default().set("--redis-prefix", &one.redis_prefix);
        let other = TestShop::on(Arc::clone(&one.database), variants, shared).await;
        let ada = Person::new(&one, "ada").await;
        assert!(ada.is_known(&other).await);
        assert_eq!(ada.delete(&one, "/v1/sessions/current").await.status, 204);
        assert!(!ada.is_known(&other).await, "{variants}");
    }
}

/// A copy of the database opens no door.
#[tokio::test]
async fn no_token_stands_in_the_database() {
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
