//! Settings shared by api and worker. Each is a flag or an environment variable, documented with unit and
//! default in `--help`, and validated at startup.

use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

/// How to connect to Postgres, and how many connections to use.
#[derive(Debug, Clone, Args)]
pub struct DatabaseSettings {
    /// Postgres, for example postgres://shop:secret@127.0.0.1:5432/shop
    #[arg(long, env = "BACKSTOCK_DATABASE_URL", hide_env_values = true, value_parser = parse_database_url)]
    pub database_url: SecretString,

    /// Connections of this process. Postgres performs best with few: about twice its cores,
    /// shared by all processes
    #[arg(long, env = "BACKSTOCK_DATABASE_CONNECTIONS", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections: u32,

    /// How long a request may wait for a connection before it is answered 503, in milliseconds
    #[arg(long = "database-acquire-timeout-ms", env = "BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS", default_value = "1000",
          value_parser = parse_millis)]
    pub database_acquire_timeout: Duration,

    /// How long one statement may run before Postgres cancels it, in milliseconds
    #[arg(long = "database-statement-timeout-ms", env = "BACKSTOCK_DATABASE_STATEMENT_TIMEOUT_MS",
          default_value = "10000", value_parser = parse_millis)]
    pub database_statement_timeout: Duration,

    /// How long a statement may wait for a lock before it fails, in milliseconds [default: 1000 for requests,
    /// whose clients wait and whose connection others could use; 5000 for background work and commands]
    #[arg(long = "database-lock-timeout-ms", env = "BACKSTOCK_DATABASE_LOCK_TIMEOUT_MS", value_parser = parse_millis)]
    pub database_lock_timeout: Option<Duration>,

    /// How long a transaction may be idle before Postgres aborts it and releases its locks, in milliseconds.
    /// Longer than a payment's timeout, because a transaction may be open during one
    #[arg(long = "database-idle-transaction-timeout-ms", env = "BACKSTOCK_DATABASE_IDLE_TRANSACTION_TIMEOUT_MS",
          default_value = "15000", value_parser = parse_millis)]
    pub database_idle_transaction_timeout: Duration,

    /// How long Postgres keeps the connection and the locks of a host that has disappeared, in milliseconds
    #[arg(long = "database-peer-timeout-ms", env = "BACKSTOCK_DATABASE_PEER_TIMEOUT_MS", default_value = "30000",
          value_parser = parse_millis)]
    pub database_peer_timeout: Duration,

    /// Prepared statements cached per connection. Preparing a statement costs two round trips; caching
    /// a list's statement takes about 85 KB of Postgres' memory per connection, so 8 connections use
    /// at most 90 MB
    #[arg(long, env = "BACKSTOCK_DATABASE_STATEMENT_CACHE", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub database_statement_cache: u32,
}

/// How to connect to Redis.
#[derive(Debug, Clone, Args)]
pub struct RedisSettings {
    /// Redis, for example redis://127.0.0.1:6379/0
    #[arg(long, env = "BACKSTOCK_REDIS_URL", hide_env_values = true, value_parser = parse_redis_url)]
    pub redis_url: SecretString,

    /// The prefix of every key, so that shops can share a Redis
    #[arg(long, env = "BACKSTOCK_REDIS_PREFIX", default_value = "backstock:")]
    pub redis_prefix: String,

    /// How long to wait for a response of Redis before falling back to Postgres, in milliseconds
    #[arg(long = "redis-timeout-ms", env = "BACKSTOCK_REDIS_TIMEOUT_MS", default_value = "50", value_parser = parse_millis)]
    pub redis_timeout: Duration,
}

/// How to connect to RabbitMQ.
#[derive(Debug, Clone, Args)]
pub struct AmqpSettings {
    /// RabbitMQ, for example amqp://shop:secret@127.0.0.1:5672/%2f
    #[arg(long, env = "BACKSTOCK_AMQP_URL", hide_env_values = true, value_parser = parse_amqp_url)]
    pub amqp_url: SecretString,
}

/// What is logged, and in which format.
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// Log filter: a level, or module=level pairs, for example info,sqlx=warn
    #[arg(
        long = "log",
        env = "BACKSTOCK_LOG",
        default_value = "info,sqlx=warn,lapin=warn",
        value_parser = parse_filter
    )]
    pub filter: String,

    /// text or json
    #[arg(long, env = "BACKSTOCK_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Settings of metrics and traces.
#[derive(Debug, Clone, Args)]
pub struct TelemetrySettings {
    /// Whether metrics are recorded: on or off. Off is for measuring their cost
    #[arg(long, env = "BACKSTOCK_METRICS", default_value = "on")]
    pub metrics: Switch,

    /// The collector that traces are sent to, by OTLP over HTTP, for example http://127.0.0.1:4318. Without
    /// it, tracing is off
    #[arg(long, env = "BACKSTOCK_OTLP_ENDPOINT", hide_env_values = true, value_parser = parse_collector)]
    pub otlp_endpoint: Option<SecretString>,

    /// The share of traces to keep, from 0 to 1. Failed and slow traces are always kept (tail-based sampling)
    #[arg(long, env = "BACKSTOCK_TRACE_SAMPLE_RATIO", default_value_t = 0.01, value_parser = parse_share)]
    pub trace_sample_ratio: f64,

    /// Traces longer than this are always kept, in milliseconds
    #[arg(long = "trace-slow-ms", env = "BACKSTOCK_TRACE_SLOW_MS", default_value = "500", value_parser = parse_millis)]
    pub trace_slow: Duration,
}

/// Parses a collector's URL, which may contain a password.
fn parse_collector(text: &str) -> Result<SecretString, String> {
    match reqwest::Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) => Ok(text.trim_end_matches('/').into()),
        _ => Err("must begin with http:// or https://, for example http://127.0.0.1:4318".to_owned()),
    }
}

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    On,
    Off,
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1, for example 0.01".to_owned()),
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// Parses whole milliseconds from 1 to 600 000 (ten minutes).
///
/// # Errors
/// When the text isn't a number within the bounds; the message names both.
pub fn parse_millis(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(millis @ 1..=600_000) => Ok(Duration::from_millis(millis)),
        _ => Err("must be whole milliseconds from 1 to 600000, for example 1000".to_owned()),
    }
}

/// Validates a Postgres URL. The messages of these three don't repeat the URL, which contains a password.
fn parse_database_url(text: &str) -> Result<SecretString, String> {
    let usable = text.parse::<sqlx::postgres::PgConnectOptions>();
    usable.map_err(|_| {
        "must be a URL of Postgres, for example postgres://shop:secret@127.0.0.1:5432/shop".to_owned()
    })?;
    Ok(text.into())
}

fn parse_redis_url(text: &str) -> Result<SecretString, String> {
    let usable = ::redis::Client::open(text);
    usable.map_err(|_| "must be a URL of Redis, for example redis://127.0.0.1:6379/0".to_owned())?;
    Ok(text.into())
}

/// Validates a RabbitMQ URL.
///
/// # Errors
/// When it is invalid; the message doesn't repeat it.
pub fn parse_amqp_url(text: &str) -> Result<SecretString, String> {
    let usable = text.parse::<lapin::uri::AMQPUri>();
    usable.map_err(|_| {
        "must be a URL of RabbitMQ, for example amqp://shop:secret@127.0.0.1:5672/%2f".to_owned()
    })?;
    Ok(text.into())
}

/// Validates a log filter.
fn parse_filter(text: &str) -> Result<String, String> {
    let usable = EnvFilter::builder().parse(text);
    usable.map_err(|error| format!("{error}; an example: info,sqlx=warn"))?;
    Ok(text.to_owned())
}
