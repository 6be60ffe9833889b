//! The lesson `password_hashing`: which requests wait while a password is hashed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::people::{PASSWORD, Person, sign_in};
use crate::support::arms::arms_of;
use crate::support::shop::{Changes, TestShop};

/// The test's runtime has one thread, so another task runs during a hash only if the hash is on another
/// thread. This needs no clock.
#[tokio::test]
async fn other_tasks_run_during_a_hash_only_if_it_is_on_another_thread() {
    for variants in arms_of("password_hashing") {
        let shop = TestShop::start(&variants.to_string()).await;
        let ran = Arc::new(AtomicBool::new(false));
        let other = ran.clone();
        tokio::spawn(async move { other.store(true, Ordering::SeqCst) });
        shop.state.passwords.hash(PASSWORD.to_owned()).await.unwrap();
        let has_run = ran.load(Ordering::SeqCst);
        assert_eq!(
            has_run,
            variants.password_hashing.as_str() == "pool",
            "{variants}"
        );
    }
}

#[tokio::test]
async fn each_arm_computes_one_hash_per_password() {
    for variants in arms_of("password_hashing") {
        let shop = TestShop::start(&variants.to_string()).await;
        let computed = || shop.state.passwords.computed();
        assert_eq!(computed(), 0);
        Person::new(&shop, "ada").await;
        assert_eq!(computed(), 2, "registration and sign-in: {variants}");
        sign_in(&shop, "ada@example.com", "wrong horse").await;
        sign_in(&shop, "eve@example.com", "wrong horse").await;
        assert_eq!(computed(), 4, "{variants}");
    }
}

#[tokio::test]
async fn a_request_that_waits_too_long_for_a_hash_is_shed_without_hashing() {
    let changes = Changes::default()
        .set("--password-hashes-at-once", 1)
        .set("--password-wait-timeout-ms", 1)
        .set("--database-connections", 8);
    let shop = TestShop::start_with("optimized", changes).await;
    Person::new(&shop, "ada").await;
    let before = shop.state.passwords.computed();
    let responses = join_all((0..8).map(|_| sign_in(&shop, "ada@example.com", PASSWORD))).await;
    let (in_time, rejected): (Vec<_>, Vec<_>) = responses.iter().partition(|response| response.status == 201);
    assert_eq!(shop.state.passwords.computed() - before, in_time.len() as u64);
    assert!(!in_time.is_empty());
    for response in rejected {
        response.problem(503, "overloaded");
    }
}
