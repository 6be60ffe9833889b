//! Polling, the only way in which tests wait for an external event.

use std::time::{Duration, Instant};

/// Far above every expected wait, so only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(20);
/// The polling interval.
const PAUSE: Duration = Duration::from_millis(5);

/// Polls until there is a value, and returns it. Panics with `what` at the deadline.
pub async fn until<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "timed out after {DEADLINE:?} waiting until {what}"
        );
        // Only an interval: the loop waits for the event, and fails without it.
        tokio::time::sleep(PAUSE).await;
    }
}
