//! Which requests wait while a password is hashed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::people::{PASSWORD, Person, sign_in};
use crate::support::arms::each_arm;
use crate::support::shop::{Changes, TestShop};

#[tokio::test]
async fn other_tasks_run_during_a_hash() {
    assert!(runs_another_task_during_a_hash().await);
}

/// The test's runtime has one thread, so another task runs during a hash only if the hash is on another
/// thread. This needs no clock.
pub async fn runs_another_task_during_a_hash() -> bool {
    let shop = TestShop::start().await;
    let ran = Arc::new(AtomicBool::new(false));
    let other = ran.clone();
    tokio::spawn(async move { other.store(true, Ordering::SeqCst) });
    shop.state.passwords.hash(PASSWORD.to_owned()).await.unwrap();
    ran.load(Ordering::SeqCst)
}

#[tokio::test]
async fn each_password_is_hashed_once() {
    each_arm("password_hashing", async || {
        let shop = TestShop::start().await;
        let computed = || shop.state.passwords.computed();
        assert_eq!(computed(), 0);
        Person::new(&shop, "ada").await;
        assert_eq!(computed(), 2, "registration and sign-in");
        sign_in(&shop, "ada@example.com", "wrong horse").await;
        sign_in(&shop, "eve@example.com", "wrong horse").await;
        assert_eq!(computed(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_waits_too_long_for_a_hash_is_shed_without_hashing() {
    let changes = Changes::default()
        .set("--password-hashes-at-once", 1)
        .set("--password-wait-timeout-ms", 1)
        .set("--database-connections", 8);
    let shop = TestShop::start_with(changes).await;
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
