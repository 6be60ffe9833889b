//! What physics or the store itself allows, and the share of it that the product reaches.
//!
//! Each check measures the product and its limit in the same run, in turns, and says whether the target is met.
//! `backstock-lab limits` runs them all; `compare` takes single ones.

mod command;

use serde::{Deserialize, Serialize};

pub use command::Command;

/// One limit or target, and how the product stands to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitResult {
    /// A stable name, for example `listing_against_pgbench`.
    pub name: String,
    /// What is compared with what, in a sentence.
    pub what: String,
    /// The target in words, for example `at least 0.45`.
    pub target: String,
    /// What was measured, in the target's unit.
    pub measured: f64,
    /// The 95 % interval of `measured`, where it is a ratio of interleaved blocks.
    pub ci95: Option<(f64, f64)>,
    /// The unit of `measured`; empty for a ratio.
    pub unit: String,
    /// The limit's own value (requests a second, transactions a second), where there is one.
    pub limit: Option<f64>,
    /// Whether the target is met.
    pub met: bool,
    /// What else was seen: further numbers by name.
    pub details: Vec<(String, f64)>,
}
