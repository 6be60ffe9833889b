//! Development tasks: `cargo xtask up|down|import|new|prepare`.
//!
//! Read next: `up/` for the local shop, `new/` for what it generates.

mod import;
mod new;
mod prepare;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Development tasks.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Starts the shop with the products of dev/seed/, and stops it on Ctrl-C
    Up,
    /// Stops an `up` whose terminal is lost
    Down,
    /// Imports a Shopify product export into the local shop
    Import {
        /// The CSV file
        file: PathBuf,
        /// Passed to `backstock-api import`, for example --strict
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Writes a compiling and tested start of a slice, a consumer or a background task
    New {
        kind: new::Kind,
        /// In snake_case, for example wish_lists
        name: String,
    },
    /// Regenerates .sqlx/, which sqlx checks queries against when there is no database
    Prepare {
        /// Fails when the committed data differs, without changing it
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome: Result<ExitCode> = match Arguments::parse().task {
        Task::Up => up::up(),
        Task::Down => up::down(),
        Task::Import { file, arguments } => import::import(&file, &arguments),
        Task::New { kind, name } => new::new(kind, &name),
        Task::Prepare { check: false } => prepare::regenerate(),
        Task::Prepare { check: true } => prepare::check(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
