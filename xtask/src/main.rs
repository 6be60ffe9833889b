//! The project's own chores: `cargo xtask up|down|import|tidy|prepare`.
//!
//! Read next: `up/` for the local shops, `tidy/` for the rules that this repository checks by itself.

mod import;
mod prepare;
mod tidy;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use storefront::variants::Variants;

/// The project's own chores.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Starts two shops on data of scale `s`, and stops them on Ctrl-C
    Up {
        /// The variants of the shop on :8081
        #[arg(long, default_value = "baseline")]
        left: Variants,
        /// The variants of the shop on :8080
        #[arg(long, default_value = "optimized")]
        right: Variants,
    },
    /// Stops what a lost terminal left of `up`
    Down,
    /// Imports a Shopify product export into both shops
    Import {
        /// The export
        file: PathBuf,
        /// Passed on to `backstock-api import`, for example --strict
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Checks the rules of this repository that no compiler knows
    Tidy {
        /// Rewrites what is generated, such as the README's table of lessons
        #[arg(long)]
        fix: bool,
    },
    /// Regenerates .sqlx/, the data against which queries are checked without a database
    Prepare {
        /// Fails when the committed data differs, and changes nothing
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome: Result<ExitCode> = match Arguments::parse().chore {
        Chore::Up { left, right } => up::up(left, right),
        Chore::Down => up::down(),
        Chore::Import { file, arguments } => import::import(&file, &arguments),
        Chore::Tidy { fix: false } => tidy::check(),
        Chore::Tidy { fix: true } => tidy::fix(),
        Chore::Prepare { check: false } => prepare::regenerate(),
        Chore::Prepare { check: true } => prepare::check(),
    };
    outcome.unwrap_or_else(|fault| {
        eprintln!("error: {fault:#}");
        ExitCode::FAILURE
    })
}
