//! Workloads whose measured thing is the outcome of a run: what was oversold, lost, or done late.

use std::time::Duration;

use tcp_proxy::Direction;

use crate::trials::ThirdParties;

/// A run of a whole shop for each arm, with its third parties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// How long the third parties take.
    pub third_parties: ThirdParties,
    /// Different variants that are bought; one is a hot SKU.
    pub variants: usize,
    /// Which parts of the worker run beside the api; empty for none.
    pub worker: &'static str,
    /// What happens.
    pub course: Course,
}

/// What happens in a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Course {
    /// A closed loop of so many buyers, in slices of the arms in turns.
    Buyers {
        /// How many.
        clients: usize,
        /// One slice.
        slice: Duration,
    },
    /// Buyers who arrive at random, at most at this rate and at half of what the baseline takes, in slices likewise.
    Arrivals {
        /// Orders a second.
        at_most_per_s: f64,
        /// One slice.
        slice: Duration,
    },
    /// More buyers than units, so many of them at a time.
    Rush {
        /// Units that there are.
        units: i32,
        /// Buyers of one unit each.
        buyers: usize,
        /// How many at a time.
        clients: usize,
    },
    /// The mail server refuses everything while so many orders are placed, then it works again.
    MailOutage {
        /// How many.
        orders: usize,
    },
    /// The way to the broker becomes a blackhole, so many orders are paid, api and worker are killed and started again.
    Killed {
        /// Which direction is swallowed.
        blackhole: Direction,
        /// How often.
        rounds: usize,
        /// Orders in flight at the moment of death.
        orders: usize,
    },
    /// Api and worker are killed so often while buyers keep coming.
    KilledUnderLoad {
        /// Buyers at a time.
        clients: usize,
        /// How often.
        kills: usize,
    },
}
