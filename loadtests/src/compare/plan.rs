//! How long and how often: what a mode measures.

use std::time::Duration;

use crate::report::Mode;

/// Student's t over fewer blocks has too wide an interval to say anything.
pub const BLOCKS: usize = 8;

/// The clients of a closed loop, and of probes for the rate.
pub const CONCURRENCY: usize = 4;

/// The connections of an open loop: requests under way at most.
pub const OPEN_LOOP_CONNECTIONS: usize = 64;

/// The generator shares the machine's cores with what it measures: beyond this rate it would be part of the result.
const HIGHEST_RATE_PER_S: f64 = 1_500.0;

/// Fewer requests in a slice than this, and chance decides how many there are: then one client asks again and again.
const FEWEST_A_SLICE: f64 = 6.0;

/// How one mode measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlicePlan {
    /// ABBA blocks.
    pub blocks: usize,
    /// One slice of a block.
    pub slice: Duration,
}

impl SlicePlan {
    /// A slice must be long enough for its percentiles, and short enough that what the machine does meanwhile befalls
    /// both arms: one to two seconds. The quick mode has less, for speed: its intervals are wider, its verdicts fewer.
    /// Where a request takes tens of milliseconds, for a password's hash, a shorter slice would hold too few.
    pub fn of(mode: Mode, lesson: &str) -> Self {
        let slice_ms = match (mode, lesson) {
            (Mode::Full, _) => 1_500,
            (Mode::Quick, "password_hashing" | "welcome_email") => 250,
            (Mode::Quick, _) => 160,
        };
        Self {
            blocks: BLOCKS,
            slice: Duration::from_millis(slice_ms),
        }
    }
}

/// How requests of a slice arrive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// At random at this rate, whether or not earlier ones are answered.
    Open {
        /// Requests a second.
        rate_per_s: f64,
    },
    /// From so many clients, each of which waits for its answer.
    Closed {
        /// How many.
        clients: usize,
    },
}

impl Arrivals {
    /// Both arms get the same: half of what the slower one can take, unless that leaves too few in a slice.
    pub fn for_latency(slower_per_s: f64, slice: Duration) -> Self {
        let rate_per_s = (slower_per_s / 2.0).min(HIGHEST_RATE_PER_S);
        if rate_per_s * slice.as_secs_f64() < FEWEST_A_SLICE {
            Self::Closed { clients: 1 }
        } else {
            Self::Open { rate_per_s }
        }
    }

    /// In words, for the report.
    pub fn describe(self) -> String {
        match self {
            Self::Open { .. } => "open loop".into(),
            Self::Closed { clients: 1 } => {
                "one client after the other: too slow for an open loop in this mode".into()
            }
            Self::Closed { clients } => format!("closed loop of {clients} clients"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_arms_get_at_most_half_of_what_the_slower_takes() {
        let half_a_second = Duration::from_millis(500);
        assert_eq!(
            Arrivals::for_latency(400.0, half_a_second),
            Arrivals::Open { rate_per_s: 200.0 }
        );
        assert_eq!(
            Arrivals::for_latency(90_000.0, half_a_second),
            Arrivals::Open {
                rate_per_s: HIGHEST_RATE_PER_S
            }
        );
        assert_eq!(
            Arrivals::for_latency(4.0, half_a_second),
            Arrivals::Closed { clients: 1 }
        );
    }
}
