//! The load generator: open loop for latency, closed loop for throughput.
//!
//! Requests are drawn beforehand and walked in order, so that the hot path only sends, and both arms of a lesson get
//! the very same sequence. The generator runs on a thread of its own with a current-thread runtime, and watches that
//! thread's CPU time, since a generator that is itself the bottleneck measures nothing but itself.
//!
//! Read next: [`open_loop`], then `connection.rs`.

mod capacity;
mod closed_loop;
mod command;
mod connection;
mod fetch;
mod generator;
mod held;
mod open_loop;
mod outcome;
mod request;
mod warm_up;

pub use capacity::{Capacity, CapacityPlan, Probe, capacity};
pub use closed_loop::closed_loop;
pub use command::Command;
pub use fetch::{Fetched, Visitor, fetch};
pub use held::{HeldConnections, hold_open};
pub use open_loop::open_loop;
pub use outcome::{Errors, Outcome, from_base64, percentile_ms, to_base64};
pub use request::{Request, Target};
pub use warm_up::{WarmUp, warm_up};
