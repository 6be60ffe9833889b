//! Shared by the tests. Each test starts with `shop.rs`.

pub mod arms;
mod broker;
mod database;
mod servers;
mod shop;
mod simulators;
mod worker;

use std::time::{Duration, Instant};

pub use database::TestDatabase;
pub use servers::servers;
pub use shop::Shop;
pub use worker::Worker;

/// Far above any expected wait, so that only a defect reaches it.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Polls until the value is `wanted`. At the deadline, panics with `what` and the last value.
pub async fn until_equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: T,
    mut poll: impl AsyncFnMut() -> T,
) {
    let started = Instant::now();
    loop {
        let seen = poll().await;
        if seen == wanted {
            return;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "timed out after {DEADLINE:?} waiting until {what}: wanted {wanted:?}, saw {seen:?}"
        );
        // A pause between two polls. The loop fails at the deadline without the event.
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Polls until the condition holds.
pub async fn until(what: &str, mut poll: impl AsyncFnMut() -> bool) {
    until_equal(what, true, async || poll().await).await;
}
