//! Development tasks: `cargo xtask up|down|import|new|eject|tidy|prepare`.
//!
//! Read next: `up/` for the local shops, `new/` for what it generates, `tidy/` for the rules of this repository.

mod eject;
mod import;
mod new;
mod prepare;
mod tidy;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use techniques::Selection;

/// Development tasks.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Starts two shops on data of scale `s`, and stops them on Ctrl-C
    Up {
        /// The arms of the shop on :8081
        #[arg(long, default_value = "baseline")]
        left: Selection,
        /// The arms of the shop on :8080
        #[arg(long, default_value = "optimized")]
        right: Selection,
    },
    /// Stops an `up` whose terminal is lost
    Down,
    /// Imports a Shopify product export into both shops
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
    /// Writes the service alone, without lessons, as the start of a real one
    Eject {
        /// A new or empty directory
        directory: PathBuf,
        /// The name of its programs, variables and metrics: 2 to 20 lower-case letters and digits
        #[arg(long)]
        name: String,
    },
    /// Checks the rules of this repository that the compiler doesn't
    Tidy {
        /// Rewrites generated text, such as the tables of lessons
        #[arg(long)]
        fix: bool,
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
        Task::Up { left, right } => up::up(left, right),
        Task::Down => up::down(),
        Task::Import { file, arguments } => import::import(&file, &arguments),
        Task::New { kind, name } => new::new(kind, &name),
        Task::Eject { directory, name } => eject::eject(&directory, &name).map(|()| ExitCode::SUCCESS),
        Task::Tidy { fix: false } => tidy::check(),
        Task::Tidy { fix: true } => tidy::fix(),
        Task::Prepare { check: false } => prepare::regenerate(),
        Task::Prepare { check: true } => prepare::check(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
