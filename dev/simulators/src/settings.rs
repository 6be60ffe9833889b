//! The settings that `--help` documents. Each is read from its flag or the environment and validated at start.
//!
//! They include the initial values of what `PUT /control` can change. By default no faults are injected, so that a test
//! gets only those it asks for.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use simulators::carrier::CarrierConfig;
use simulators::fault_injection::Faults;
use simulators::payment::PaymentConfig;
use simulators::smtp::SmtpConfig;

/// All settings of the process.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address of the payment gateway; with port 0 the system chooses the port, and the log names it
    #[arg(long, env = "BACKSTOCK_PAYMENT_LISTEN", default_value = "127.0.0.1:8090")]
    pub payment_listen: SocketAddr,

    /// Address of the parcel carrier
    #[arg(long, env = "BACKSTOCK_CARRIER_LISTEN", default_value = "127.0.0.1:8091")]
    pub carrier_listen: SocketAddr,

    /// Address of the mail server
    #[arg(long, env = "BACKSTOCK_SMTP_LISTEN", default_value = "127.0.0.1:8025")]
    pub smtp_listen: SocketAddr,

    /// Address of the inbox: a page and an HTTP API for the mails received
    #[arg(long, env = "BACKSTOCK_INBOX_LISTEN", default_value = "127.0.0.1:8026")]
    pub inbox_listen: SocketAddr,

    /// Seed of the delays and failures; the same seed and order of requests give the same sequence
    #[arg(long, env = "BACKSTOCK_SIMULATORS_SEED", default_value_t = 1)]
    pub seed: u64,

    /// Worker threads; 0 is one per core
    #[arg(long, env = "BACKSTOCK_SIMULATORS_THREADS", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,

    /// How long requests in flight are drained after SIGTERM, in milliseconds
    #[arg(long, env = "BACKSTOCK_DRAIN_TIMEOUT_MS", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub drain_timeout_ms: u64,

    /// File for a snapshot of all simulated services: written at graceful shutdown, read at start [default: none, so that
    /// each start begins empty]
    #[arg(long = "state", env = "BACKSTOCK_SIMULATORS_STATE", value_name = "FILE")]
    pub state: Option<PathBuf>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub payment: PaymentSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub carrier: CarrierSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub smtp: SmtpSettings,

    /// Log filter: a level, or module=level pairs, for example info,simulators=debug
    #[arg(long = "log", env = "BACKSTOCK_LOG", default_value = "info")]
    pub log: String,

    /// Format of log lines: text or json
    #[arg(long, env = "BACKSTOCK_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// The fault settings of a service: the same fields, under its own flags and variables.
macro_rules! fault_settings {
    ($(#[$doc:meta])* $name:ident, $flag:literal, $variable:literal, $service:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Args)]
        pub struct $name {
            #[arg(id = concat!($flag, "-latency-median-ms"), long = concat!($flag, "-latency-median-ms"),
                  env = concat!("BACKSTOCK_", $variable, "_LATENCY_MEDIAN_MS"), default_value_t = 0.0, value_name = "MS",
                  help = concat!($service, ": median latency, in milliseconds; 0 for both median and p99 means no delay"))]
            latency_median_ms: f64,

            #[arg(id = concat!($flag, "-latency-p99-ms"), long = concat!($flag, "-latency-p99-ms"),
                  env = concat!("BACKSTOCK_", $variable, "_LATENCY_P99_MS"), default_value_t = 0.0, value_name = "MS",
                  help = concat!($service, ": 99th percentile of latency, in milliseconds"))]
            latency_p99_ms: f64,

            #[arg(id = concat!($flag, "-failure-error"), long = concat!($flag, "-failure-error"),
                  env = concat!("BACKSTOCK_", $variable, "_FAILURE_ERROR"), default_value_t = 0.0, value_name = "SHARE",
                  help = concat!($service, ": share of requests, 0 to 1, that get an error (HTTP 500, SMTP 451) without being carried out"))]
            failure_error: f64,

            #[arg(id = concat!($flag, "-failure-before"), long = concat!($flag, "-failure-before"),
                  env = concat!("BACKSTOCK_", $variable, "_FAILURE_BEFORE"), default_value_t = 0.0, value_name = "SHARE",
                  help = concat!($service, ": share of requests, 0 to 1, that are lost: not carried out, and the connection is closed"))]
            failure_before: f64,

            #[arg(id = concat!($flag, "-failure-after"), long = concat!($flag, "-failure-after"),
                  env = concat!("BACKSTOCK_", $variable, "_FAILURE_AFTER"), default_value_t = 0.0, value_name = "SHARE",
                  help = concat!($service, ": share of responses, 0 to 1, that are lost: the request is carried out, then the connection is closed"))]
            failure_after: f64,
        }

        impl $name {
            fn faults(&self, seed: u64) -> Faults {
                Faults {
                    latency_median_ms: self.latency_median_ms,
                    latency_p99_ms: self.latency_p99_ms,
                    failure_error: self.failure_error,
                    failure_before: self.failure_before,
                    failure_after: self.failure_after,
                    seed,
                }
            }
        }
    };
}

fault_settings!(
    /// Latency and failures of the gateway.
    PaymentFaults, "payment", "PAYMENT", "Payments"
);
fault_settings!(
    /// Latency and failures of the carrier.
    CarrierFaults, "carrier", "CARRIER", "Parcels"
);
fault_settings!(
    /// Latency and failures of the mail server.
    SmtpFaults, "smtp", "SMTP", "Mails"
);

/// The payment gateway's settings.
#[derive(Debug, Clone, Args)]
pub struct PaymentSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub faults: PaymentFaults,

    /// Delay of the first response to tok_timeout, after the payment was authorized, in milliseconds
    #[arg(
        long,
        env = "BACKSTOCK_PAYMENT_TIMEOUT_ANSWER_MS",
        default_value_t = 30_000,
        value_name = "MS"
    )]
    pub payment_timeout_answer_ms: u64,

    /// Number of failures of tok_flaky per idempotency key before it succeeds
    #[arg(
        long,
        env = "BACKSTOCK_PAYMENT_FLAKY_FAILURES",
        default_value_t = 2,
        value_name = "TIMES"
    )]
    pub payment_flaky_failures: u32,

    /// Maximum number of payments in memory; finished ones are evicted. Each takes about a kilobyte
    #[arg(
        long,
        env = "BACKSTOCK_PAYMENT_MAX_PAYMENTS",
        default_value_t = 1_000_000,
        value_name = "PAYMENTS"
    )]
    pub payment_max_payments: usize,
}

/// The parcel carrier's settings.
#[derive(Debug, Clone, Args)]
pub struct CarrierSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub faults: CarrierFaults,

    /// Time from a label to the delivery of its parcel, in milliseconds; 0 is never, 1 is immediately
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_DELIVER_AFTER_MS",
        default_value_t = 10_000,
        value_name = "MS"
    )]
    pub carrier_deliver_after_ms: u64,

    /// Callback URL for deliveries, unless the label names one [default: no callbacks]
    #[arg(long, env = "BACKSTOCK_CARRIER_CALLBACK_URL", value_name = "URL")]
    pub carrier_callback_url: Option<String>,

    /// Secret that signs callbacks, at least 16 bytes; without it no callbacks are sent
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub carrier_secret: Option<String>,

    /// Base URL of links to labels, when the carrier is reached under another address than the one it listens on, for
    /// example http://127.0.0.1:8091
    #[arg(long, env = "BACKSTOCK_CARRIER_PUBLIC_URL", value_name = "URL")]
    pub carrier_public_url: Option<String>,

    /// Number of attempts before a callback is given up
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_CALLBACK_ATTEMPTS",
        default_value_t = 8,
        value_name = "TIMES"
    )]
    pub carrier_callback_attempts: u32,

    /// Delay before the first retry of a callback, in milliseconds; it doubles with each retry, up to a minute
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_CALLBACK_PAUSE_MS",
        default_value_t = 1_000,
        value_name = "MS"
    )]
    pub carrier_callback_pause_ms: u64,

    /// Maximum number of labels in memory; the oldest are evicted
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_MAX_LABELS",
        default_value_t = 200_000,
        value_name = "LABELS"
    )]
    pub carrier_max_labels: usize,
}

/// The mail server's settings.
#[derive(Debug, Clone, Args)]
pub struct SmtpSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub faults: SmtpFaults,

    /// Maximum size of a mail, in bytes
    #[arg(
        long,
        env = "BACKSTOCK_SMTP_MAX_MAIL_BYTES",
        default_value_t = 1_048_576,
        value_name = "BYTES"
    )]
    pub smtp_max_mail_bytes: usize,

    /// Maximum number of mails in the inbox; the oldest are evicted
    #[arg(
        long,
        env = "BACKSTOCK_INBOX_MAX_MAILS",
        default_value_t = 20_000,
        value_name = "MAILS"
    )]
    pub inbox_max_mails: usize,

    /// Maximum total size of the mails in the inbox, in bytes
    #[arg(
        long,
        env = "BACKSTOCK_INBOX_MAX_BYTES",
        default_value_t = 268_435_456,
        value_name = "BYTES"
    )]
    pub inbox_max_bytes: usize,
}

impl Settings {
    /// The gateway's initial settings.
    pub fn payment_config(&self) -> PaymentConfig {
        PaymentConfig {
            faults: self.payment.faults.faults(self.seed),
            timeout_answer_ms: self.payment.payment_timeout_answer_ms,
            flaky_failures: self.payment.payment_flaky_failures,
        }
    }

    /// The carrier's initial settings.
    pub fn carrier_config(&self) -> CarrierConfig {
        CarrierConfig {
            faults: self.carrier.faults.faults(self.seed),
            deliver_after_ms: self.carrier.carrier_deliver_after_ms,
            callback_url: self.carrier.carrier_callback_url.clone(),
            callback_attempts: self.carrier.carrier_callback_attempts,
            callback_pause_ms: self.carrier.carrier_callback_pause_ms,
        }
    }

    /// The mail server's initial settings.
    pub fn smtp_config(&self) -> SmtpConfig {
        SmtpConfig(self.smtp.faults.faults(self.seed))
    }
}
