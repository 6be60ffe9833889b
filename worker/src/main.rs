//! `backstock-worker`: works off what the storefront queues.
//!
//! The process stands: settings, a connection to RabbitMQ and to Postgres, health, metrics, and an orderly stop. Each
//! kind of work is a module of its own that is started from `run.rs`.

mod health;
mod run;
mod settings;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::settings::Settings;

/// Works off what the storefront queues. Every setting is a flag or an environment variable.
#[derive(Debug, Parser)]
#[command(name = "backstock-worker", version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let Cli { settings } = match parsed {
        Ok(cli) => cli,
        Err(error) => return storefront::settings::explain(&error, &Cli::command()),
    };
    match run::run(settings) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("backstock-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}
