//! The worker's settings: what `--help` documents.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use storefront::messages::Consumer;
use storefront::settings::{AmqpSettings, DatabaseSettings, LogSettings, TelemetrySettings, parse_millis};
use storefront::third_parties::carrier::CarrierSettings;
use storefront::third_parties::mail::MailSettings;
use storefront::third_parties::payment::PaymentSettings;
use storefront::variants::Variants;

/// Everything that the worker needs.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// What this process does. Several processes may do the same: they share the work
    #[arg(
        long,
        env = "BACKSTOCK_PARTS",
        value_delimiter = ',',
        default_value = "relay,consumers,upkeep"
    )]
    pub parts: Vec<Part>,

    /// Where operators connect: health, metrics, variants. Never open it to the world
    #[arg(long, env = "BACKSTOCK_INTERNAL_LISTEN", default_value = "127.0.0.1:9090")]
    pub internal_listen: SocketAddr,

    /// A preset, then changes: optimized | baseline[,lesson=arm…]
    #[arg(long, env = "BACKSTOCK_VARIANTS", default_value = "optimized")]
    pub variants: Variants,

    /// How long work in flight may take to end after SIGTERM, in milliseconds
    #[arg(long = "drain-timeout-ms", env = "BACKSTOCK_DRAIN_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub drain_timeout: Duration,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub relay: RelaySettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub consumers: ConsumerSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub upkeep: UpkeepSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub payment: PaymentSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub carrier: CarrierSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub mail: MailSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub database: DatabaseSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub amqp: AmqpSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: TelemetrySettings,

    /// How often queues, outbox and waiting orders are counted for the metrics, in milliseconds
    #[arg(long = "gauges-interval-ms", env = "BACKSTOCK_GAUGES_INTERVAL_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub gauges_interval: Duration,
}

/// What a worker can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Says to RabbitMQ what the outbox holds.
    Relay,
    /// Emails, labels, popularity.
    Consumers,
    /// Settles payments of unknown outcome, refreshes the order of best sellers, purges what has expired.
    Upkeep,
}

/// How the outbox is relayed.
#[derive(Debug, Clone, Args)]
pub struct RelaySettings {
    /// Events that are sent before their confirms are waited for. More share the broker's wait for its disk; all of
    /// them are said again after a crash
    #[arg(long, env = "BACKSTOCK_RELAY_WINDOW", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub relay_window: u32,

    /// How often the outbox is looked at when nobody says that there is something, in milliseconds
    #[arg(long = "relay-poll-ms", env = "BACKSTOCK_RELAY_POLL_MS", default_value = "100", value_parser = parse_millis)]
    pub relay_poll: Duration,

    /// How often the whole outbox is looked through, in milliseconds, deleted rows that can't be vacuumed yet included. In
    /// between the relay looks only above what it has published: at an event whose transaction was open for more than two
    /// seconds, or that another worker left, as late as this
    #[arg(long = "relay-full-look-ms", env = "BACKSTOCK_RELAY_FULL_LOOK_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub relay_full_look: Duration,

    /// How long the broker may take to confirm a window of events, or a message, in milliseconds
    #[arg(long = "confirm-timeout-ms", env = "BACKSTOCK_CONFIRM_TIMEOUT_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub confirm_timeout: Duration,
}

/// How messages are consumed.
#[derive(Debug, Clone, Args)]
pub struct ConsumerSettings {
    /// Labels that are made at a time, with their captures. By Little's law orders a second × the seconds that carrier and
    /// gateway take together: 256 are 600 orders a second with 0.4 s. Bounded by what they bear. Twice as many messages are
    /// prefetched
    #[arg(long, env = "BACKSTOCK_LABELS_IN_FLIGHT", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub labels_in_flight: u16,

    /// Emails of a kind that are worked on at a time: confirmations, welcomes. Emails a second × the seconds that the mail
    /// server takes, and as many again that are claimed and noted meanwhile. Twice as many messages are prefetched
    #[arg(long, env = "BACKSTOCK_EMAILS_IN_FLIGHT", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub emails_in_flight: u16,

    /// Orders whose units are counted at a time, by one statement where the variants have it so. They wait for nothing but
    /// Postgres: more only makes longer transactions. Twice as many messages are prefetched
    #[arg(long, env = "BACKSTOCK_SALES_IN_FLIGHT", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub sales_in_flight: u16,

    /// How long a message waits after a failed attempt, in milliseconds: after the first, the second …
    #[arg(long = "retry-delays-ms", env = "BACKSTOCK_RETRY_DELAYS_MS", value_delimiter = ',',
          default_value = "1000,5000,25000,120000,600000", value_parser = parse_millis)]
    pub retry_delays: Vec<Duration>,

    /// How often a message is worked on before it becomes a dead letter
    #[arg(long, env = "BACKSTOCK_MAX_ATTEMPTS", default_value_t = 12,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_attempts: u32,

    /// How long nobody else sends an email that somebody has begun to send, in milliseconds. At least the mail server's
    /// timeout and a wait for a connection to Postgres. What Postgres reads so slowly that it doesn't last is tried again
    #[arg(long = "email-claim-ms", env = "BACKSTOCK_EMAIL_CLAIM_MS", default_value = "30000", value_parser = parse_millis)]
    pub email_claim: Duration,
}

/// What is done by the clock.
#[derive(Debug, Clone, Args)]
pub struct UpkeepSettings {
    /// How often reservations that ended unpaid are settled, in milliseconds
    #[arg(long = "settle-interval-ms", env = "BACKSTOCK_SETTLE_INTERVAL_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub settle_interval: Duration,

    /// After this an order is settled by another worker when the first gave no answer, or the gateway none, in
    /// milliseconds. The payment of an order that was cancelled or failed is voided by upkeep when nobody else did so in
    /// this time
    #[arg(long = "settle-again-ms", env = "BACKSTOCK_SETTLE_AGAIN_MS", default_value = "30000", value_parser = parse_millis)]
    pub settle_again: Duration,

    /// How long after the end of an order that was cancelled or failed a request to authorize it may still reach the
    /// gateway, in milliseconds. Before, nobody believes the gateway that it knows of no payment. Longer than the gateway's
    /// timeout, by what a network or a process that was stopped may hold a request back
    #[arg(long = "void-grace-ms", env = "BACKSTOCK_VOID_GRACE_MS", default_value = "300000", value_parser = parse_millis)]
    pub void_grace: Duration,

    /// How often what has expired is purged, in milliseconds
    #[arg(long = "purge-interval-ms", env = "BACKSTOCK_PURGE_INTERVAL_MS", default_value = "60000",
          value_parser = parse_millis)]
    pub purge_interval: Duration,

    /// How often products' sold units are moved to the column that lists sort by, in milliseconds: how old a rank may be,
    /// but for the time that moving takes. More often writes more: each time, a product's row and all its index entries
    #[arg(long = "sales-refresh-interval-ms", env = "BACKSTOCK_SALES_REFRESH_INTERVAL_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub sales_refresh_interval: Duration,

    /// Products that are refreshed in one transaction. While it lasts, their rows are locked, for an order that sells a last
    /// unit
    #[arg(long, env = "BACKSTOCK_SALES_REFRESH_PRODUCTS", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub sales_refresh_products: u16,

    /// How long a refresh token that was used is kept, in seconds. Each refresh leaves one, so this bounds what an account
    /// that refreshes without end can pile up. That a token was used is known without it, but for tokens that were made
    /// before they named their sign-in
    #[arg(long, env = "BACKSTOCK_USED_REFRESH_TOKEN_RETENTION_S", default_value_t = 3600,
          value_parser = clap::value_parser!(u32).range(60..))]
    pub used_refresh_token_retention_s: u32,

    /// How long it is remembered which messages were worked off, in seconds. Longer than any message may wait as a dead
    /// letter, since one that is forgotten would be worked off again
    #[arg(long, env = "BACKSTOCK_INBOX_RETENTION_S", default_value_t = 30 * 24 * 3600,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub inbox_retention_s: u32,

    /// How long a cart is kept that nobody touches, in days. Anybody may open carts, and few come back to one; an
    /// order keeps what it needs of its cart
    #[arg(long, env = "BACKSTOCK_CART_RETENTION_DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub cart_retention_days: u16,
}

impl ConsumerSettings {
    /// Messages that a consumer works on at a time.
    pub fn in_flight(&self, consumer: Consumer) -> u16 {
        match consumer {
            Consumer::ShippingLabel => self.labels_in_flight,
            Consumer::ConfirmationEmail | Consumer::WelcomeEmail => self.emails_in_flight,
            Consumer::Popularity | Consumer::CancelledSales => self.sales_in_flight,
        }
    }
}

impl Settings {
    /// What clap can't check: settings that only make sense together. Which don't, and what to do.
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let email = self.mail.smtp_timeout + self.database.database_acquire_timeout;
        if self.consumers.email_claim < email {
            found.push(format!(
                "BACKSTOCK_EMAIL_CLAIM_MS is {}, and an email may take {}: BACKSTOCK_SMTP_TIMEOUT_MS and \
                 BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS; raise the first: another worker could send what is being sent",
                self.consumers.email_claim.as_millis(),
                email.as_millis()
            ));
        }
        if self.upkeep.void_grace <= self.payment.payment_timeout {
            found.push(
                "BACKSTOCK_VOID_GRACE_MS must be longer than BACKSTOCK_PAYMENT_TIMEOUT_MS: else money that is held by a \
                 late answer could stay held"
                    .to_owned(),
            );
        }
        found
    }
}
