//! The lesson `password_hashing`: who waits while a password is hashed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::people::{PASSWORD, Person, sign_in};
use crate::support::arms::arms_of;
use crate::support::shop::{Changes, TestShop};

/// The test's runtime has one thread. A task that is ready runs during a hash only where the hash is not on that
/// thread: no clock is looked at.
#[tokio::test]
async fn others_run_during_a_hash_only_when_it_has_a_thread_of_its_own() {
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
async fn each_arm_computes_one_hash_for_each_password() {
    for variants in arms_of("password_hashing") {
        let shop = TestShop::start(&variants.to_string()).await;
        let computed = || shop.state.passwords.computed();
        assert_eq!(computed(), 0);
        Person::new(&shop, "ada").await;
        assert_eq!(computed(), 2, "registering, then signing in: {variants}");
        sign_in(&shop, "ada@example.com", "wrong horse").await;
        sign_in(&shop, "eve@example.com", "wrong horse").await;
        assert_eq!(computed(), 4, "{variants}");
    }
}

#[tokio::test]
async fn who_gets_no_turn_to_hash_is_asked_to_come_again_and_costs_nothing() {
    let changes = Changes::default()
        .set("--password-hashes-at-once", 1)
        .set("--password-wait-timeout-ms", 1)
        .set("--database-connections", 8);
    let shop = TestShop::start_with("optimized", changes).await;
    Person::new(&shop, "ada").await;
    let before = shop.state.passwords.computed();
    let answers = join_all((0..8).map(|_| sign_in(&shop, "ada@example.com", PASSWORD))).await;
    let (in_time, late): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(shop.state.passwords.computed() - before, in_time.len() as u64);
    assert!(!in_time.is_empty());
    for answer in late {
        answer.problem(503, "overloaded");
    }
}
