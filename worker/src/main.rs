//! `backstock-worker`: asynchronous work behind the storefront.
//!
//! Read next: `run.rs`, which starts the components. `relay/` publishes the outbox to RabbitMQ, `consumers/`
//! handles the published events, and `background_tasks/` runs periodically. `dead_letters/` is the command for
//! messages that failed permanently.

#![cfg_attr(
    not(feature = "baselines"),
    allow(
        unused_imports,
        reason = "`techniques::component!` names types that only its expansion with baselines uses"
    )
)]

mod background_tasks;
mod batch;
mod broker;
mod components;
mod consumers;
mod dead_letters;
mod health;
mod metrics;
mod queue_metrics;
mod relay;
mod run;
mod settings;
mod topology;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::dead_letters::DeadLettersCommand;
use crate::settings::Settings;

/// Processes the storefront's events and runs its background tasks. Every setting is a flag
/// or an environment variable.
#[derive(Debug, Parser)]
#[command(name = "backstock-worker", version, flatten_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the relay, the consumers and the background tasks (the default without a command)
    Work(Box<Settings>),
    /// Lists, redrives or drops messages that failed permanently
    DeadLetters(Box<DeadLettersCommand>),
    /// Checks whether the worker on this host is ready: a health check that needs no shell
    Health(HealthCommand),
}

#[derive(Debug, clap::Args)]
struct HealthCommand {
    /// The internal address of that worker
    #[arg(long, env = "BACKSTOCK_INTERNAL_LISTEN", default_value = "127.0.0.1:9090")]
    internal_listen: SocketAddr,
}

fn main() -> ExitCode {
    let arguments = with_default_command(std::env::args_os().collect());
    let Cli { command } = match platform::command_line::read(&arguments) {
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
        Command::Health(command) => return platform::healthcheck::run(command.internal_listen),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("backstock-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Inserts the default command `work` when the command line is empty or begins with a setting.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const GLOBAL_FLAGS: [&str; 4] = ["-h", "--help", "-V", "--version"];
    let first = arguments
        .get(1)
        .map(|argument| argument.to_string_lossy().into_owned());
    let needs_default = match first.as_deref() {
        None => true,
        Some(first) => first.starts_with('-') && !GLOBAL_FLAGS.contains(&first),
    };
    if needs_default && !arguments.is_empty() {
        arguments.insert(1, "work".into());
    }
    arguments
}
