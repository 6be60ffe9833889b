//! Warming up: nothing is measured until the server has settled.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::{Request, Target};

/// How a warm-up went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmUp {
    /// Windows that were run.
    pub windows: usize,
    /// Whether the last two agreed. If not, the server was still changing when patience ended.
    pub settled: bool,
}

/// Runs closed-loop windows until two in a row agree on throughput, a bounded number at most.
pub async fn warm_up(_target: &Target, _requests: &Arc<[Request]>, _concurrency: usize) -> Result<WarmUp> {
    bail!("the warm-up is not built yet")
}
