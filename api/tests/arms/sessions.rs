//! The arms of `sessions` that store access tokens, in Postgres and in Redis.

use crate::accounts::people::Person;
use crate::accounts::refresh_tokens::reuse_a_token;
use crate::accounts::sessions::{signed_out, statements};
use crate::support::arms::with_arm;
use crate::support::private_redis::PrivateRedis;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

async fn each_stored_arm(test: impl AsyncFn()) {
    for arm in ["table", "redis"] {
        with_arm("sessions", arm, &test).await;
    }
}

#[tokio::test]
async fn authentication_takes_at_most_one_statement() {
    // In Redis, the first request is a miss.
    for (arm, expected) in [("table", [1, 1, 1]), ("redis", [1, 0, 0])] {
        with_arm("sessions", arm, async || {
            let shop = TestShop::start().await;
            let ada = Person::new(&shop, "ada").await;
            for expected in expected {
                assert_eq!(statements(&shop, &ada).await, expected);
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_stored_token_expires() {
    each_stored_arm(async || {
        let shop = TestShop::start().await;
        let ada = Person::new(&shop, "ada").await;
        shop.database
            .execute("update sessions set access_expires_at = now() - interval '1 second'")
            .await;
        assert!(!ada.is_signed_in(&shop).await);
    })
    .await;
}

#[tokio::test]
async fn a_sign_out_revokes_a_stored_session() {
    each_stored_arm(async || {
        let shop = TestShop::start().await;
        assert!(!signed_out(&shop).await.is_signed_in(&shop).await);
    })
    .await;
}

#[tokio::test]
async fn reusing_a_refresh_token_revokes_a_stored_session() {
    each_stored_arm(async || {
        let shop = TestShop::start().await;
        assert!(!reuse_a_token(&shop).await.is_signed_in(&shop).await);
    })
    .await;
}

#[tokio::test]
async fn a_sign_out_in_one_process_applies_to_all() {
    each_stored_arm(async || {
        let one = TestShop::start().await;
        let shared = Changes::default().set("--redis-prefix", &one.redis_prefix);
        let other = TestShop::on(one.database.clone(), shared).await;
        let ada = Person::new(&one, "ada").await;
        assert!(ada.is_signed_in(&other).await);
        assert_eq!(ada.delete(&one, "/v1/sessions/current").await.status, 204);
        assert!(!ada.is_signed_in(&other).await);
    })
    .await;
}

async fn shop_with(redis: &PrivateRedis) -> TestShop {
    let changes = Changes::default()
        .set("--redis-url", redis.url())
        // Short, because the test waits for it.
        .set("--redis-timeout-ms", 100);
    with_arm("sessions", "redis", async || TestShop::start_with(changes).await).await
}

#[tokio::test]
async fn without_redis_authentication_falls_back_to_the_table_and_sign_out_is_unavailable() {
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
