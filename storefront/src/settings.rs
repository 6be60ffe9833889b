//! Settings that the api and the worker share. Every one can be given as a flag or in the environment, has its unit
//! and its default in `--help`, and is checked when the process starts.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

/// How to reach Postgres, and how much of it to use.
#[derive(Debug, Clone, Args)]
pub struct DatabaseSettings {
    /// Postgres, for example postgres://shop:secret@127.0.0.1:5432/shop
    #[arg(long, env = "BACKSTOCK_DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,

    /// Connections of this process. Postgres serves best with few: about twice its cores, shared by all processes
    #[arg(long, env = "BACKSTOCK_DATABASE_CONNECTIONS", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections: u32,

    /// How long a request may wait for a connection before it is answered 503, in milliseconds
    #[arg(long = "database-acquire-timeout-ms", env = "BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS", default_value = "1000",
          value_parser = parse_millis)]
    pub database_acquire_timeout: Duration,

    /// How long one statement may run before Postgres ends it, in milliseconds
    #[arg(long = "database-statement-timeout-ms", env = "BACKSTOCK_DATABASE_STATEMENT_TIMEOUT_MS",
          default_value = "10000", value_parser = parse_millis)]
    pub database_statement_timeout: Duration,
}

/// How to reach Redis.
#[derive(Debug, Clone, Args)]
pub struct RedisSettings {
    /// Redis, for example redis://127.0.0.1:6379/0
    #[arg(long, env = "BACKSTOCK_REDIS_URL", hide_env_values = true)]
    pub redis_url: SecretString,

    /// Put before every key, so that shops can share a Redis
    #[arg(long, env = "BACKSTOCK_REDIS_PREFIX", default_value = "backstock:")]
    pub redis_prefix: String,

    /// How long an answer of Redis is waited for before Postgres is asked instead, in milliseconds
    #[arg(long = "redis-timeout-ms", env = "BACKSTOCK_REDIS_TIMEOUT_MS", default_value = "50", value_parser = parse_millis)]
    pub redis_timeout: Duration,
}

/// How to reach RabbitMQ.
#[derive(Debug, Clone, Args)]
pub struct AmqpSettings {
    /// RabbitMQ, for example amqp://shop:secret@127.0.0.1:5672/%2f
    #[arg(long, env = "BACKSTOCK_AMQP_URL", hide_env_values = true)]
    pub amqp_url: SecretString,
}

/// How the process logs.
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// What is logged: a level, or module=level pairs, for example info,sqlx=warn
    #[arg(
        long = "log",
        env = "BACKSTOCK_LOG",
        default_value = "info,sqlx=warn,lapin=warn"
    )]
    pub filter: String,

    /// text or json
    #[arg(long, env = "BACKSTOCK_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Parses whole milliseconds from 1 to 600 000 (ten minutes).
///
/// # Errors
/// When the text is no number or out of range; the message gives both bounds.
pub fn parse_millis(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(millis @ 1..=600_000) => Ok(Duration::from_millis(millis)),
        _ => Err("must be whole milliseconds from 1 to 600000, for example 1000".to_owned()),
    }
}

/// Prints what is wrong with a command line or the environment, and gives the exit code: 2, or 0 for `--help`.
///
/// clap names the flag; most settings come from the environment, so the variable's name is said as well.
pub fn explain(error: &clap::Error, command: &clap::Command) -> ExitCode {
    use clap::error::{ContextKind, ContextValue};
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let mentioned: Vec<String> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(several)) => several.clone(),
        _ => Vec::new(),
    };
    let arguments = command
        .get_arguments()
        .chain(command.get_subcommands().flat_map(clap::Command::get_arguments));
    let (mut said, mut explanations, mut holds_secret) = (Vec::new(), String::new(), false);
    for argument in arguments {
        let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else {
            continue;
        };
        let flag = format!("--{flag}");
        let named = mentioned
            .iter()
            .any(|text| text.split([' ', '=']).next() == Some(flag.as_str()));
        if named && !said.contains(&variable) {
            said.push(variable);
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            explanations += &format!("The setting is {}, or {flag}: {help}\n", variable.display());
            holds_secret |= argument.is_hide_env_values_set();
        }
    }
    match error.get(ContextKind::InvalidValue) {
        // clap repeats the value that it refuses, which nobody may read in a log.
        Some(ContextValue::String(secret)) if holds_secret && !secret.is_empty() => {
            let message = error.render().to_string();
            eprint!("{}", message.replace(&format!("'{secret}'"), "(not shown)"));
        }
        _ => {
            let _ = error.print();
        }
    }
    eprint!("{explanations}");
    ExitCode::from(2)
}
