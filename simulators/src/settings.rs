//! The settings: what `--help` documents. Each is read from its flag or the environment, and checked at start.
//!
//! What `PUT /control` can change begins here too. By default nothing is slow and nothing fails, so that a test gets
//! only what it asks for.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use simulators::carrier::CarrierConduct;
use simulators::conduct::Faults;
use simulators::payment::PaymentConduct;
use simulators::smtp::SmtpConduct;

/// Everything that can be set.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where the payment gateway listens; port 0 lets the system choose, and the log says which
    #[arg(long, env = "BACKSTOCK_PAYMENT_LISTEN", default_value = "127.0.0.1:8090")]
    pub payment_listen: SocketAddr,

    /// Where the parcel carrier listens
    #[arg(long, env = "BACKSTOCK_CARRIER_LISTEN", default_value = "127.0.0.1:8091")]
    pub carrier_listen: SocketAddr,

    /// Where the mail server listens
    #[arg(long, env = "BACKSTOCK_SMTP_LISTEN", default_value = "127.0.0.1:8025")]
    pub smtp_listen: SocketAddr,

    /// Where the inbox listens: the page, and the mails over HTTP
    #[arg(long, env = "BACKSTOCK_INBOX_LISTEN", default_value = "127.0.0.1:8026")]
    pub inbox_listen: SocketAddr,

    /// The seed of delays and failures: the same seed and the same order of requests give the same ones
    #[arg(long, env = "BACKSTOCK_SIMULATORS_SEED", default_value_t = 1)]
    pub seed: u64,

    /// Threads that serve; 0 is one a core
    #[arg(long, env = "BACKSTOCK_SIMULATORS_THREADS", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,

    /// How long requests in flight may take to end after SIGTERM, in milliseconds
    #[arg(long, env = "BACKSTOCK_DRAIN_TIMEOUT_MS", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub drain_timeout_ms: u64,

    /// A file in which everything is kept that the parties remember: written when the process stops in order, read when
    /// it starts [default: none, so that each start begins with nothing]
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

    /// What is logged: a level, or module=level pairs, for example info,simulators=debug
    #[arg(long = "log", env = "BACKSTOCK_LOG", default_value = "info")]
    pub log: String,

    /// text or json
    #[arg(long, env = "BACKSTOCK_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// The settings that each party has: the same fields under names of its own.
macro_rules! fault_settings {
    ($(#[$doc:meta])* $name:ident, $flag:literal, $variable:literal, $party:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Args)]
        pub struct $name {
            #[arg(id = concat!($flag, "-latency-median-ms"), long = concat!($flag, "-latency-median-ms"),
                  env = concat!("BACKSTOCK_", $variable, "_LATENCY_MEDIAN_MS"), default_value_t = 0.0, value_name = "MS",
                  help = concat!($party, ": half of the answers take at most as long, in milliseconds; 0 with the p99 is no delay"))]
            latency_median_ms: f64,

            #[arg(id = concat!($flag, "-latency-p99-ms"), long = concat!($flag, "-latency-p99-ms"),
                  env = concat!("BACKSTOCK_", $variable, "_LATENCY_P99_MS"), default_value_t = 0.0, value_name = "MS",
                  help = concat!($party, ": 99 of 100 answers take at most as long, in milliseconds"))]
            latency_p99_ms: f64,

            #[arg(id = concat!($flag, "-failure-error"), long = concat!($flag, "-failure-error"),
                  env = concat!("BACKSTOCK_", $variable, "_FAILURE_ERROR"), default_value_t = 0.0, value_name = "SHARE",
                  help = concat!($party, ": the share, 0 to 1, that is answered with an error (HTTP 500, SMTP 451); nothing is done"))]
            failure_error: f64,

            #[arg(id = concat!($flag, "-failure-before"), long = concat!($flag, "-failure-before"),
                  env = concat!("BACKSTOCK_", $variable, "_FAILURE_BEFORE"), default_value_t = 0.0, value_name = "SHARE",
                  help = concat!($party, ": the share, 0 to 1, that is neither done nor answered; the connection is closed"))]
            failure_before: f64,

            #[arg(id = concat!($flag, "-failure-after"), long = concat!($flag, "-failure-after"),
                  env = concat!("BACKSTOCK_", $variable, "_FAILURE_AFTER"), default_value_t = 0.0, value_name = "SHARE",
                  help = concat!($party, ": the share, 0 to 1, that is done but whose answer is lost; the connection is closed"))]
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
    /// How slow the gateway is, and how it fails.
    PaymentFaults, "payment", "PAYMENT", "Payments"
);
fault_settings!(
    /// How slow the carrier is, and how it fails.
    CarrierFaults, "carrier", "CARRIER", "Parcels"
);
fault_settings!(
    /// How slow the mail server is, and how it fails.
    SmtpFaults, "smtp", "SMTP", "Mails"
);

/// The payment gateway's settings.
#[derive(Debug, Clone, Args)]
pub struct PaymentSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub faults: PaymentFaults,

    /// How long tok_timeout's first answer takes, after the payment was authorized, in milliseconds
    #[arg(
        long,
        env = "BACKSTOCK_PAYMENT_TIMEOUT_ANSWER_MS",
        default_value_t = 30_000,
        value_name = "MS"
    )]
    pub payment_timeout_answer_ms: u64,

    /// How often tok_flaky fails for each idempotency key before it works
    #[arg(
        long,
        env = "BACKSTOCK_PAYMENT_FLAKY_FAILURES",
        default_value_t = 2,
        value_name = "TIMES"
    )]
    pub payment_flaky_failures: u32,

    /// How many payments are remembered; finished ones make room. Each takes about a kilobyte
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

    /// From a label to its parcel's delivery, in milliseconds; 0 is never, 1 is at once
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_DELIVER_AFTER_MS",
        default_value_t = 10_000,
        value_name = "MS"
    )]
    pub carrier_deliver_after_ms: u64,

    /// Where deliveries are told of, unless a label says otherwise [default: nowhere]
    #[arg(long, env = "BACKSTOCK_CARRIER_CALLBACK_URL", value_name = "URL")]
    pub carrier_callback_url: Option<String>,

    /// Signs callbacks, at least 16 bytes; without one there are none
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub carrier_secret: Option<String>,

    /// What links to labels begin with, where the carrier is reached under another address than it listens on, for
    /// example http://127.0.0.1:8091
    #[arg(long, env = "BACKSTOCK_CARRIER_PUBLIC_URL", value_name = "URL")]
    pub carrier_public_url: Option<String>,

    /// How often a callback is tried before it is given up
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_CALLBACK_ATTEMPTS",
        default_value_t = 8,
        value_name = "TIMES"
    )]
    pub carrier_callback_attempts: u32,

    /// From a callback's first try to its second, in milliseconds; it doubles from try to try, up to a minute
    #[arg(
        long,
        env = "BACKSTOCK_CARRIER_CALLBACK_PAUSE_MS",
        default_value_t = 1_000,
        value_name = "MS"
    )]
    pub carrier_callback_pause_ms: u64,

    /// How many labels are remembered; the oldest make room
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

    /// The largest mail that is taken, in bytes
    #[arg(
        long,
        env = "BACKSTOCK_SMTP_MAX_MAIL_BYTES",
        default_value_t = 1_048_576,
        value_name = "BYTES"
    )]
    pub smtp_max_mail_bytes: usize,

    /// How many mails are kept; the oldest make room
    #[arg(
        long,
        env = "BACKSTOCK_INBOX_MAX_MAILS",
        default_value_t = 20_000,
        value_name = "MAILS"
    )]
    pub inbox_max_mails: usize,

    /// How much of all mails together is kept, in bytes
    #[arg(
        long,
        env = "BACKSTOCK_INBOX_MAX_BYTES",
        default_value_t = 268_435_456,
        value_name = "BYTES"
    )]
    pub inbox_max_bytes: usize,
}

impl Settings {
    /// How the gateway behaves at first.
    pub fn payment_conduct(&self) -> PaymentConduct {
        PaymentConduct {
            faults: self.payment.faults.faults(self.seed),
            timeout_answer_ms: self.payment.payment_timeout_answer_ms,
            flaky_failures: self.payment.payment_flaky_failures,
        }
    }

    /// How the carrier behaves at first.
    pub fn carrier_conduct(&self) -> CarrierConduct {
        CarrierConduct {
            faults: self.carrier.faults.faults(self.seed),
            deliver_after_ms: self.carrier.carrier_deliver_after_ms,
            callback_url: self.carrier.carrier_callback_url.clone(),
            callback_attempts: self.carrier.carrier_callback_attempts,
            callback_pause_ms: self.carrier.carrier_callback_pause_ms,
        }
    }

    /// How the mail server behaves at first.
    pub fn smtp_conduct(&self) -> SmtpConduct {
        SmtpConduct(self.smtp.faults.faults(self.seed))
    }
}
