//! Open loop: requests arrive when they arrive, whether or not earlier ones have been answered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Outcome, Request, Target};

/// Sends requests at a mean rate with Poisson arrivals, over so many connections at most.
///
/// Latency counts from the moment at which a request was *meant* to be sent, so a server that stalls is charged for
/// everyone who would have come meanwhile.
pub async fn open_loop(
    _target: &Target,
    _requests: &Arc<[Request]>,
    _rate_per_s: f64,
    _duration: Duration,
    _connections: usize,
    _seed: u64,
) -> Result<Outcome> {
    bail!("the open loop is not built yet")
}
