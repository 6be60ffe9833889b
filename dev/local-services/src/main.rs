//! `backstock-local-services`: the command line of the private servers.
//!
//! Read next: the library's [`local_services::Services`].

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use local_services::{Purpose, Services, StopOutcome, install_missing, status, stop_unused};

/// Private Postgres, Redis and RabbitMQ servers for Backstock.
///
/// Data, logs and locks are in .backstock/ in the workspace, or in BACKSTOCK_HOME. Ports start at 27600, or at
/// BACKSTOCK_PORT_BASE, and up to 20 are used. Where BACKSTOCK_DATABASE_URL, BACKSTOCK_REDIS_URL or BACKSTOCK_AMQP_URL is
/// set, that server is used and none is started.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Installs the packages of missing servers (as root, with YES=1, or after asking)
    Install,
    /// Starts the servers, runs a command with their URLs in its environment, stops them, and exits with its exit code
    Run {
        /// Which servers to use
        #[arg(long, value_enum, default_value_t = PurposeArgument::Tests)]
        purpose: PurposeArgument,
        /// RabbitMQ's virtual host in the command's URL, created if it does not exist [default: /]
        #[arg(long)]
        vhost: Option<String>,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Stops servers that are no longer in use
    Stop,
    /// Shows which servers are running
    Status,
}

#[derive(Clone, Copy, ValueEnum)]
enum PurposeArgument {
    Shop,
    Tests,
}

impl From<PurposeArgument> for Purpose {
    fn from(argument: PurposeArgument) -> Purpose {
        match argument {
            PurposeArgument::Shop => Purpose::Shop,
            PurposeArgument::Tests => Purpose::Tests,
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().action) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<ExitCode> {
    match action {
        Action::Install => install_missing()?,
        Action::Run {
            purpose,
            vhost,
            command,
        } => return run_command(purpose.into(), vhost.as_deref(), &command),
        Action::Stop => {
            let outcomes = [stop_unused(Purpose::Shop)?, stop_unused(Purpose::Tests)?];
            if outcomes.contains(&StopOutcome::StillInUse) {
                return Ok(ExitCode::FAILURE); // The watchdog's script has printed the users.
            }
        }
        Action::Status => {
            for purpose in [Purpose::Shop, Purpose::Tests] {
                for line in status(purpose)? {
                    println!("{line}");
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_command(purpose: Purpose, vhost: Option<&str>, command: &[String]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command given")?;
    let services = Services::start(purpose)?;
    if let Some(vhost) = vhost {
        services.create_vhost(vhost)?;
    }
    let status = Command::new(program)
        .args(arguments)
        .env("BACKSTOCK_DATABASE_URL", services.database_url("postgres"))
        .env("BACKSTOCK_REDIS_URL", services.redis_url(0))
        .env("BACKSTOCK_AMQP_URL", services.amqp_url(vhost.unwrap_or("/")))
        .status();
    let stopped = services.stop();
    let status = status.with_context(|| format!("cannot run {program}"))?;
    stopped?;
    // The shell's convention: 128 plus the signal number.
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
