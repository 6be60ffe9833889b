//! What the tests share. `shop.rs` is what a test begins with.

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

/// Far above anything that is waited for: only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until it is so. Panics with `what`, and what was seen last, at the deadline.
pub async fn until_equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: T,
    mut look: impl AsyncFnMut() -> T,
) {
    let started = Instant::now();
    loop {
        let seen = look().await;
        if seen == wanted {
            return;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "waited {DEADLINE:?} in vain until {what}: wanted {wanted:?}, saw {seen:?}"
        );
        // Between two looks: the loop waits for the event, and fails without it.
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks until it is so.
pub async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    until_equal(what, true, async || look().await).await;
}
