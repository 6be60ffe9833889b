//! `backstock-simulators`: a shop's third parties in one process, for tests, the lab and `make up`.
//!
//! Read next: `run.rs`, then the library.

mod health;
mod run;
mod settings;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::health::HealthCommand;
use crate::settings::Settings;

/// A simulated payment gateway, parcel carrier and mail server. Every setting is a flag or an environment variable.
/// PROTOCOLS.md describes the protocols.
#[derive(Debug, Parser)]
#[command(
    name = "backstock-simulators",
    version,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks that the server process is alive; a health check for images without a shell
    Health(HealthCommand),
}

fn main() -> ExitCode {
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let Cli { command, settings } = match parsed {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    if let Some(Command::Health(command)) = command {
        return command.run();
    }
    match run::run(settings) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("backstock-simulators: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the error. The exit code is 2, or 0 for `--help`. clap names only the flag, but most settings come from the
/// environment, so the variable is named too.
fn explain(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if let Some(ContextValue::String(mentioned)) = error.get(ContextKind::InvalidArg) {
        let flag = mentioned.split([' ', '=']).next().unwrap_or_default();
        let command = Cli::command();
        let argument = command
            .get_arguments()
            .find(|argument| Some(flag) == argument.get_long().map(|long| format!("--{long}")).as_deref());
        if let Some(variable) = argument.and_then(clap::Arg::get_env) {
            eprintln!("The setting is {}, or {flag}.", variable.display());
        }
    }
    ExitCode::from(2)
}
