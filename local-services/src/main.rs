//! `backstock-local-services`: the private servers from the command line.
//!
//! Read next: the library's [`local_services::Services`].

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use local_services::{Purpose, Services, Stopped, install_missing, status, stop_unused};

/// Private Postgres, Redis and RabbitMQ servers for Backstock.
///
/// Data, logs and locks are under .backstock/ in the workspace (BACKSTOCK_HOME: another directory), ports from 27600
/// (BACKSTOCK_PORT_BASE: the first of 20 others). Where BACKSTOCK_DATABASE_URL, BACKSTOCK_REDIS_URL or
/// BACKSTOCK_AMQP_URL is set, that server is used and none started.
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
    /// Starts the servers, runs a command with their URLs in its environment, stops them, and ends as it ended
    Run {
        /// Whose servers
        #[arg(long, value_enum, default_value_t = Whose::Tests)]
        purpose: Whose,
        /// RabbitMQ's virtual host in the command's URL, made if it does not exist [default: /]
        #[arg(long)]
        vhost: Option<String>,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Stops servers that nobody uses any more
    Stop,
    /// Shows which servers run
    Status,
}

#[derive(Clone, Copy, ValueEnum)]
enum Whose {
    Shop,
    Tests,
}

impl From<Whose> for Purpose {
    fn from(whose: Whose) -> Purpose {
        match whose {
            Whose::Shop => Purpose::Shop,
            Whose::Tests => Purpose::Tests,
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().action) {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("error: {fault:#}");
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
            if outcomes.contains(&Stopped::StillUsed) {
                return Ok(ExitCode::FAILURE); // The guardian has said who uses them.
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
    // As a shell does: 128 and the signal's number.
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
