//! Warming up: nothing is measured until the server has settled.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Request, Target, closed_loop};

/// The length of a window.
const WINDOW: Duration = Duration::from_millis(500);

/// Windows at most: six seconds.
const MOST_WINDOWS: usize = 12;

/// Two windows agree when their throughputs differ by less than this. Wider than the effects that the lab looks for:
/// a warm-up ends what is one-sided (empty caches and pools, cold code), the pairing takes care of the rest.
const AGREEMENT: f64 = 0.10;

/// How a warm-up went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUp {
    /// Windows that were run.
    pub windows: usize,
    /// Whether the last two agreed. If not, the server was still changing when patience ended.
    pub settled: bool,
    /// Good answers a second in the last window: what to derive an offered rate from.
    pub throughput: f64,
}

/// Runs closed-loop windows until two in a row agree on throughput, a bounded number at most.
///
/// Fails when a window brings no good answer at all: there is nothing to warm up then.
pub async fn warm_up(target: &Target, requests: &Arc<[Request]>, concurrency: usize) -> Result<WarmUp> {
    let mut previous: Option<f64> = None;
    for window in 1..=MOST_WINDOWS {
        let outcome = closed_loop(target, requests, concurrency, WINDOW, window as u64).await?;
        let throughput = outcome.throughput();
        ensure!(
            outcome.completed > 0,
            "no request to {} was answered well while warming up: {:?}",
            target.address,
            outcome.errors
        );
        let settled = previous.is_some_and(|previous| (throughput / previous - 1.0).abs() < AGREEMENT);
        if settled || window == MOST_WINDOWS {
            return Ok(WarmUp {
                windows: window,
                settled,
                throughput,
            });
        }
        previous = Some(throughput);
    }
    unreachable!("the last window returns")
}
