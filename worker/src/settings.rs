//! The worker's settings, as `--help` documents them.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use platform::settings::{AmqpSettings, DatabaseSettings, LogSettings, TelemetrySettings, parse_millis};
use shop::messages::Consumer;
use shop::third_parties::carrier::CarrierSettings;
use shop::third_parties::mail::MailSettings;
use shop::third_parties::payment::PaymentSettings;
use techniques::Selection;

use crate::topology::RetryDelays;

/// All settings of the worker.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The components that this process runs. Processes with the same component share its work
    #[arg(
        long = "parts",
        env = "BACKSTOCK_PARTS",
        value_delimiter = ',',
        default_value = "relay,consumers,upkeep"
    )]
    pub components: Vec<Component>,

    /// The internal address for health and metrics. Never expose it to the internet
    #[arg(long, env = "BACKSTOCK_INTERNAL_LISTEN", default_value = "127.0.0.1:9090")]
    pub internal_listen: SocketAddr,

    /// A preset, then changes: optimized | baseline[,lesson=arm…]
    #[arg(
        long = "variants",
        value_name = "VARIANTS",
        env = "BACKSTOCK_VARIANTS",
        default_value = "optimized"
    )]
    pub selection: Selection,

    /// How long graceful shutdown waits for work in flight after SIGTERM, in milliseconds
    #[arg(long = "drain-timeout-ms", env = "BACKSTOCK_DRAIN_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub drain_timeout: Duration,

    #[command(flatten)]
    pub relay: RelaySettings,

    #[command(flatten)]
    pub consumers: ConsumerSettings,

    #[command(flatten)]
    pub upkeep: BackgroundTaskSettings,

    #[command(flatten)]
    pub payment: PaymentSettings,

    #[command(flatten)]
    pub carrier: CarrierSettings,

    #[command(flatten)]
    pub mail: MailSettings,

    #[command(flatten)]
    pub database: DatabaseSettings,

    #[command(flatten)]
    pub amqp: AmqpSettings,

    #[command(flatten)]
    pub log: LogSettings,

    #[command(flatten)]
    pub telemetry: TelemetrySettings,

    /// How often the lengths of queues and outbox and the number of waiting orders
    /// are sampled, in milliseconds
    #[arg(long = "gauges-interval-ms", env = "BACKSTOCK_GAUGES_INTERVAL_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub gauges_interval: Duration,
}

/// A component of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Component {
    /// Publishes the outbox to RabbitMQ.
    Relay,
    /// Handles events: sends emails, creates shipping labels, counts sales.
    Consumers,
    /// Reconciles payments of unknown outcome, refreshes the best-seller ranking, deletes expired rows.
    #[value(name = "upkeep")]
    BackgroundTasks,
}

/// Settings of the outbox relay.
#[derive(Debug, Clone, Args)]
pub struct RelaySettings {
    /// Events published before waiting for their confirms. With more, each fsync of the broker covers more
    /// events, but a crash republishes more of them
    #[arg(long, env = "BACKSTOCK_RELAY_WINDOW", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub relay_window: u32,

    /// How long the relay waits after a notification for further events, in milliseconds. Events that share a window
    /// reach the consumers together, which handle them in shared statements. Longer saves CPU time in all stores, but
    /// delays each event
    #[arg(long = "relay-linger-ms", env = "BACKSTOCK_RELAY_LINGER_MS", default_value = "50", value_parser = parse_millis)]
    pub relay_linger: Duration,

    /// How often the outbox is polled without a notification, in milliseconds
    #[arg(long = "relay-poll-ms", env = "BACKSTOCK_RELAY_POLL_MS", default_value = "100", value_parser = parse_millis)]
    pub relay_poll: Duration,

    /// How often the whole outbox is scanned, in milliseconds, including deleted rows that can't be
    /// vacuumed yet. Between full scans the relay reads only above its low-water mark, so an event whose
    /// transaction was open for more than two seconds, or that another worker left behind, is delayed by
    /// up to this interval
    #[arg(long = "relay-full-look-ms", env = "BACKSTOCK_RELAY_FULL_LOOK_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub relay_full_look: Duration,

    /// How long the broker may take to confirm a window of events or a single message, in milliseconds
    #[arg(long = "confirm-timeout-ms", env = "BACKSTOCK_CONFIRM_TIMEOUT_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub confirm_timeout: Duration,
}

/// Settings of the consumers.
#[derive(Debug, Clone, Args)]
pub struct ConsumerSettings {
    /// Shipping labels processed concurrently, each with its payment capture. By Little's law, orders per
    /// second × seconds that carrier and gateway take together: 256 allow 600 orders per second at 0.4 s.
    /// Bounded by the load that both can take. The prefetch is twice this number
    #[arg(long, env = "BACKSTOCK_LABELS_IN_FLIGHT", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub labels_in_flight: u16,

    /// Emails of each kind (confirmations, welcomes) processed concurrently: twice the emails per second ×
    /// seconds that the mail server takes, because the others are being claimed or marked as sent meanwhile.
    /// The prefetch is twice this number
    #[arg(long, env = "BACKSTOCK_EMAILS_IN_FLIGHT", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub emails_in_flight: u16,

    /// Orders whose units are counted concurrently. They wait for
    /// Postgres only, so a higher number just makes transactions longer. The prefetch is twice this number
    #[arg(long, env = "BACKSTOCK_SALES_IN_FLIGHT", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub sales_in_flight: u16,

    /// Delays before a message is retried, in milliseconds: after the first failed attempt, the second …
    #[arg(long = "retry-delays-ms", env = "BACKSTOCK_RETRY_DELAYS_MS",
          default_value = "1000,5000,25000,120000,600000", value_parser = parse_retry_delays)]
    pub retry_delays: RetryDelays,

    /// Attempts at a message before it becomes a dead letter
    #[arg(long, env = "BACKSTOCK_MAX_ATTEMPTS", default_value_t = 12,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_attempts: u32,

    /// Duration of the lease that a worker takes on an email before sending it, in milliseconds. At least the
    /// mail server's timeout plus the wait for a connection to Postgres. When Postgres is too slow for the
    /// lease, the email is retried
    #[arg(long = "email-claim-ms", env = "BACKSTOCK_EMAIL_CLAIM_MS", default_value = "30000", value_parser = parse_millis)]
    pub email_claim: Duration,
}

/// Settings of the background tasks.
#[derive(Debug, Clone, Args)]
pub struct BackgroundTaskSettings {
    /// How often payments of expired reservations are reconciled, in milliseconds
    #[arg(long = "settle-interval-ms", env = "BACKSTOCK_SETTLE_INTERVAL_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub settle_interval: Duration,

    /// How long a worker's lease on an unsettled order lasts, in milliseconds. Afterwards another worker
    /// retries it, for example when the gateway didn't respond. Also how long the api has to void the payment
    /// of a cancelled or failed order before the worker does
    #[arg(long = "settle-again-ms", env = "BACKSTOCK_SETTLE_AGAIN_MS", default_value = "30000", value_parser = parse_millis)]
    pub settle_again: Duration,

    /// How long after an order was cancelled or failed a delayed authorization may still reach the gateway,
    /// in milliseconds. Until then, a gateway's response that there is no payment is not trusted. Longer than
    /// the gateway's timeout, because a network or a paused process may delay a request further
    #[arg(long = "void-grace-ms", env = "BACKSTOCK_VOID_GRACE_MS", default_value = "300000", value_parser = parse_millis)]
    pub void_grace: Duration,

    /// How often expired rows are deleted, in milliseconds
    #[arg(long = "purge-interval-ms", env = "BACKSTOCK_PURGE_INTERVAL_MS", default_value = "60000",
          value_parser = parse_millis)]
    pub purge_interval: Duration,

    /// How often sold units are moved to the column that lists sort by, in milliseconds. This bounds how
    /// stale the ranking is, plus the time that moving takes. A shorter interval writes more: each move
    /// rewrites a product's row and all its index entries
    #[arg(long = "sales-refresh-interval-ms", env = "BACKSTOCK_SALES_REFRESH_INTERVAL_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub sales_refresh_interval: Duration,

    /// Products refreshed in one transaction. Until it commits, their rows are locked, and an order that
    /// sells a product's last unit waits
    #[arg(long, env = "BACKSTOCK_SALES_REFRESH_PRODUCTS", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub sales_refresh_products: u16,

    /// How long a used refresh token is kept, in seconds. Each refresh leaves one, so this bounds the rows
    /// that an account can accumulate by refreshing constantly. Reuse is detected without the row, except for
    /// tokens issued before tokens named their family
    #[arg(long, env = "BACKSTOCK_USED_REFRESH_TOKEN_RETENTION_S", default_value_t = 3600,
          value_parser = clap::value_parser!(u32).range(60..))]
    pub used_refresh_token_retention_s: u32,

    /// How long handled messages are kept in the inbox for deduplication, in seconds. Longer than any
    /// message may wait as a dead letter, because a redriven message that was deleted from the inbox
    /// would be handled again
    #[arg(long, env = "BACKSTOCK_INBOX_RETENTION_S", default_value_t = 30 * 24 * 3600,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub inbox_retention_s: u32,

    /// How long an unchanged cart is kept, in days. Anonymous clients can create carts, and most are
    /// abandoned. An order keeps its own copy of the data it needs from its cart
    #[arg(long, env = "BACKSTOCK_CART_RETENTION_DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub cart_retention_days: u16,
}

/// Parses one or more delays in milliseconds, separated by commas.
fn parse_retry_delays(text: &str) -> Result<RetryDelays, String> {
    if text.is_empty() {
        return Err("needs at least one delay in milliseconds, for example 1000,5000".to_owned());
    }
    let delays = text.split(',').map(parse_millis).collect::<Result<Vec<_>, _>>()?;
    Ok(RetryDelays::new(delays).expect("a text that isn't empty has at least one part"))
}

impl ConsumerSettings {
    /// Messages that a consumer handles concurrently.
    pub fn in_flight(&self, consumer: Consumer) -> u16 {
        match consumer {
            Consumer::ShippingLabel => self.labels_in_flight,
            Consumer::ConfirmationEmail | Consumer::WelcomeEmail => self.emails_in_flight,
            Consumer::Popularity | Consumer::CancelledSales => self.sales_in_flight,
        }
    }
}

impl Settings {
    /// Settings that contradict each other, which clap can't check, with a remedy for each.
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let email = self.mail.smtp_timeout + self.database.database_acquire_timeout;
        if self.consumers.email_claim < email {
            found.push(format!(
                "BACKSTOCK_EMAIL_CLAIM_MS is {}, but an email may take {} (BACKSTOCK_SMTP_TIMEOUT_MS plus \
                 BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS); raise it, because otherwise another worker could send the same email",
                self.consumers.email_claim.as_millis(),
                email.as_millis()
            ));
        }
        if self.upkeep.void_grace <= self.payment.payment_timeout {
            found.push(
                "BACKSTOCK_VOID_GRACE_MS must be longer than BACKSTOCK_PAYMENT_TIMEOUT_MS; otherwise money authorized by \
                 a delayed request could stay held"
                    .to_owned(),
            );
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_are_one_or_more_durations_separated_by_commas() {
        let millis = |delays: &[u64]| {
            let delays = delays.iter().map(|delay| Duration::from_millis(*delay));
            RetryDelays::new(delays.collect()).unwrap()
        };
        assert_eq!(parse_retry_delays("500").unwrap(), millis(&[500]));
        assert_eq!(parse_retry_delays("1000,500").unwrap(), millis(&[500, 1000]));
        let error = parse_retry_delays("").unwrap_err();
        assert!(error.contains("at least one delay"), "{error}");
        for text in [",", "1000,", "0", "soon", "600001"] {
            assert!(parse_retry_delays(text).is_err(), "{text}");
        }
    }
}
