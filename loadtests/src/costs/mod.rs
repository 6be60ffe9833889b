//! What a request costs, counted rather than timed: statements, buffers, WAL, CPU time, memory.
//!
//! These costs are the most robust of the lab's three tiers: they do not depend on how busy the machine is.
//! Read next: `statements.rs` for the database's side, `cpu.rs` for the processes.

mod cpu;
mod machine;
mod statements;
mod threads;

pub use cpu::{Cpu, CpuReading, CpuTimes, Processes, resident_bytes};
pub use machine::{Machine, StoreUrls, machine};
pub use statements::{LAB_MARK, PerRequest, StatementCost, StatementCosts, Statements, UPKEEP};
pub use threads::ThreadTimes;
