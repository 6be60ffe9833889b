//! Capacity: the highest rate at which a server still meets its objective.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Outcome, Request, Target};

/// How to look for the capacity.
#[derive(Debug, Clone, Copy)]
pub struct CapacityPlan {
    /// The rate to begin with.
    pub start_per_s: f64,
    /// The objective: p99 under this.
    pub p99_below: Duration,
    /// The length of a probe. A probe runs longer where its rate would give fewer samples than a p99 needs.
    pub probe: Duration,
    /// Connections, at most so many requests under way.
    pub connections: usize,
    /// Seed of the arrivals.
    pub seed: u64,
}

/// What the search found.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// The highest confirmed rate; `None` when not even the lowest rate that was tried met the objective.
    pub rate_per_s: Option<f64>,
    /// Every probe: its rate, whether it met the objective, and what it saw.
    pub probes: Vec<(f64, bool, Outcome)>,
}

/// Brackets the capacity in steps of ×1.5, bisects it to ±10 %, and confirms it.
pub async fn capacity(
    _target: &Target,
    _requests: &Arc<[Request]>,
    _plan: &CapacityPlan,
) -> Result<Capacity> {
    bail!("the search for the capacity is not built yet")
}
