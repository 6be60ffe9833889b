//! `backstock-worker`: works off what the storefront queues.
//!
//! Read next: `run.rs`, which starts the parts: `relay/` says to RabbitMQ what the outbox holds, `consumers/` do
//! something about it, `upkeep/` does what the clock asks for. `dead_letters/` is for what went wrong.

mod batch;
mod broker;
mod consumers;
mod dead_letters;
mod gauges;
mod health;
mod metrics;
mod parts;
mod relay;
mod run;
mod settings;
mod topology;
mod upkeep;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::dead_letters::DeadLettersCommand;
use crate::settings::Settings;

/// Works off what the storefront queues. Every setting is a flag or an environment variable.
#[derive(Debug, Parser)]
#[command(name = "backstock-worker", version, flatten_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Relays, consumes and keeps up (what happens without a command, too)
    Work(Box<Settings>),
    /// Shows what couldn't be worked off, gives it back to its consumer, or throws it away
    DeadLetters(Box<DeadLettersCommand>),
    /// Asks the process that works beside this one whether it is ready: a health check that needs no shell
    Health(HealthCommand),
}

#[derive(Debug, clap::Args)]
struct HealthCommand {
    /// Where that process listens for operators
    #[arg(long, env = "BACKSTOCK_INTERNAL_LISTEN", default_value = "127.0.0.1:9090")]
    internal_listen: SocketAddr,
}

fn main() -> ExitCode {
    let arguments = with_default_command(std::env::args_os().collect());
    let Cli { command } = match storefront::command_line::read(&arguments) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let outcome = match command {
        Command::Work(settings) => run::run(*settings),
        Command::DeadLetters(command) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(dead_letters::run(*command))),
        Command::Health(command) => return storefront::healthcheck::run(command.internal_listen),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("backstock-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Without a command it works: a command line that is empty, or begins with a setting, gets `work`.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const OF_THE_PROGRAM: [&str; 4] = ["-h", "--help", "-V", "--version"];
    let first = arguments
        .get(1)
        .map(|argument| argument.to_string_lossy().into_owned());
    let works = match first.as_deref() {
        None => true,
        Some(first) => first.starts_with('-') && !OF_THE_PROGRAM.contains(&first),
    };
    if works && !arguments.is_empty() {
        arguments.insert(1, "work".into());
    }
    arguments
}
