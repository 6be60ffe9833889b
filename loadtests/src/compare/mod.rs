//! `backstock-lab compare`: the arms of each lesson side by side.
//!
//! For each lesson: a database and two processes for each arm (`stand.rs`), the proof that the switch acts and that all
//! arms answer alike (`counted.rs`, `answers.rs`), the optimized arm against itself, then each arm against the baseline
//! in ABBA blocks (`blocks.rs`, `measure.rs`), and verdicts over all of it (`ratios.rs`).
//!
//! Read next: `lesson.rs`, which has this order.

mod answers;
mod asks;
mod beside;
mod blocks;
mod client;
mod clones;
mod command;
mod counted;
mod data;
mod explain;
mod invariants;
mod lesson;
mod limit;
mod measure;
mod plan;
mod progress;
mod proofs;
mod ratios;
mod requests;
mod sign_ins;
mod stand;
mod supply;
mod trials;
mod writer;
mod writes;
mod written;

pub use command::Command;
pub use proofs::signature;
