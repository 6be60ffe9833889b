//! What physics or the store itself allows, and the share of it that the product reaches.
//!
//! Each check measures the product and its limit in the same run, in ABBA turns, and says whether the target is met.
//! `backstock-lab limits` runs them all; `compare` takes single ones. Read next: `command.rs` for the order of things,
//! then `listing.rs`.

mod bare_server;
mod buying;
mod cached_listing;
mod command;
mod footprint;
mod generator;
mod index_scans;
mod listing;
mod measure;
mod observation;
mod other_build;
mod pgbench;
mod postgres_messages;
mod redis_benchmark;
mod statement_tap;
mod terminal;
mod turns;
mod uncached;
mod upgrade;
mod worst;
mod wrk;

use serde::{Deserialize, Serialize};

pub use bare_server::{BareRoute, BareServer, Command as BareServerCommand};
pub use buying::Buying;
pub use cached_listing::{CachedListing, cached_listing_against_bare_route};
pub use command::Command;
pub use footprint::{memory_with_open_connections, start_up_time};
pub use generator::{generator_against_wrk, generator_floor};
pub use index_scans::listing_by_index;
pub use listing::{Listing, listing_against_pgbench};
pub use observation::being_watched;
pub use other_build::OtherBuild;
pub use pgbench::Pgbench;
pub use redis_benchmark::redis_get_rate;
pub use statement_tap::{Execution, StatementTap};
pub use turns::Turns;
pub use uncached::uncached_listing;
pub use upgrade::{UpgradePlan, Upgraded, upgrade, upgrade_under_traffic};
pub use worst::{Worst, worst_of_generated};

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

impl LimitResult {
    fn new(name: &str, what: String, target: &str, measured: f64, unit: &str, met: bool) -> LimitResult {
        LimitResult {
            name: name.to_owned(),
            what,
            target: target.to_owned(),
            measured,
            ci95: None,
            unit: unit.to_owned(),
            limit: None,
            met,
            details: Vec::new(),
        }
    }
}
