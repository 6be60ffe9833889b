//! The one way to wait for something that happens elsewhere.

use std::time::{Duration, Instant};

/// Far above anything that is waited for: only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until there is something, and returns it. Panics with `what` at the deadline.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "waited {DEADLINE:?} in vain until {what}"
        );
        // Between two looks: the loop waits for the event, and fails without it.
        tokio::time::sleep(PAUSE).await;
    }
}
