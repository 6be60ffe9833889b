//! The api's settings: what `--help` documents. Each is read from its flag or the environment, and checked at start.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use storefront::keyring::Keyring;
use storefront::settings::{
    DatabaseSettings, LogSettings, RedisSettings, TelemetrySettings, parse_amqp_url, parse_millis,
};
use storefront::third_parties::carrier::CarrierSettings;
use storefront::third_parties::mail::MailSettings;
use storefront::third_parties::payment::PaymentSettings;
use storefront::variants::Variants;

/// Everything that `backstock-api serve` needs.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where customers connect, unless a listening socket is handed over by systemd's protocol (LISTEN_FDS)
    #[arg(long, env = "BACKSTOCK_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where operators connect: health, metrics, variants. Never open it to the world
    #[arg(long, env = "BACKSTOCK_INTERNAL_LISTEN", default_value = "127.0.0.1:9080")]
    pub internal_listen: SocketAddr,

    /// A preset, then changes: optimized | baseline[,lesson=arm…], for example optimized,pagination=offset
    #[arg(long, env = "BACKSTOCK_VARIANTS", default_value = "optimized")]
    pub variants: Variants,

    /// Secrets as kid:secret, comma-separated; the first signs, all verify. Each has at least 32 bytes
    #[arg(long, env = "BACKSTOCK_JWT_SECRETS", hide_env_values = true)]
    pub jwt_secrets: Keyring,

    /// The address of a second shop that `/` links to
    #[arg(long, env = "BACKSTOCK_OTHER_SHOP_URL")]
    pub other_shop_url: Option<String>,

    /// Threads that run requests; 0 is one a core
    #[arg(long, env = "BACKSTOCK_THREADS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub http: HttpSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub cache: CacheSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub sessions: SessionSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub passwords: PasswordSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub accounts: AccountSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub orders: OrderSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub mail: MailSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub database: DatabaseSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub redis: RedisSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: TelemetrySettings,
}

/// Bounds on every request.
#[derive(Debug, Clone, Copy, Args)]
pub struct HttpSettings {
    /// How long a request may take before it is given up with a 503, in milliseconds
    #[arg(long = "request-timeout-ms", env = "BACKSTOCK_REQUEST_TIMEOUT_MS", default_value = "30000",
          value_parser = parse_millis)]
    pub request_timeout: Duration,

    /// The largest request body that is read, in bytes
    #[arg(long, env = "BACKSTOCK_MAX_BODY_BYTES", default_value_t = 65_536)]
    pub max_body_bytes: usize,

    /// How long after SIGTERM idle connections stay open, while /readyz and `connection: close` say that the process
    /// goes, in milliseconds. Longer than a balancer takes to look away, and than clients pause between two requests
    #[arg(long = "closing-notice-ms", env = "BACKSTOCK_CLOSING_NOTICE_MS", default_value = "100",
          value_parser = parse_millis)]
    pub closing_notice: Duration,

    /// How long requests in flight may take to end after the closing notice, in milliseconds
    #[arg(long = "drain-timeout-ms", env = "BACKSTOCK_DRAIN_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub drain_timeout: Duration,
}

/// How long the catalogue's cache keeps what, in seconds. They bound what an answer that nobody asks for again occupies,
/// not how old it may be: whatever these say, an admin's change is seen within a second. So is stock that ran out or
/// came back, or at the end of a window of half a minute where that happens often (`catalog/cache/epoch.rs`).
#[derive(Debug, Clone, Copy, Args)]
pub struct CacheSettings {
    /// Lists, facets, suggestions and reviews: how long they are kept, in seconds
    #[arg(long = "cache-ttl-listings-s", env = "BACKSTOCK_CACHE_TTL_LISTINGS_S", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub listings_ttl_s: u32,

    /// Single products: how long they are kept, in seconds
    #[arg(long = "cache-ttl-products-s", env = "BACKSTOCK_CACHE_TTL_PRODUCTS_S", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub products_ttl_s: u32,

    /// The category tree: how long it is kept, in seconds
    #[arg(long = "cache-ttl-categories-s", env = "BACKSTOCK_CACHE_TTL_CATEGORIES_S", default_value_t = 14_400,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub categories_ttl_s: u32,
}

/// How long a sign-in speaks for its customer.
#[derive(Debug, Clone, Copy, Args)]
pub struct SessionSettings {
    /// How long an access token is good, in seconds. With sessions=jwt it outlives a sign-out by up to this
    #[arg(long, env = "BACKSTOCK_ACCESS_TOKEN_LIFETIME_S", default_value_t = 900,
          value_parser = clap::value_parser!(u32).range(1..=900))]
    pub access_token_lifetime_s: u32,

    /// How long a refresh token is good, in seconds; each refresh gives a new one
    #[arg(long, env = "BACKSTOCK_REFRESH_TOKEN_LIFETIME_S", default_value_t = 2_592_000,
          value_parser = clap::value_parser!(u32).range(60..=31_536_000))]
    pub refresh_token_lifetime_s: u32,
}

/// How much of the machine hashing passwords may take. One hash fills 19 MiB of memory and a core.
#[derive(Debug, Clone, Copy, Args)]
pub struct PasswordSettings {
    /// Passwords hashed at a time; 0 is one for every two cores
    #[arg(long, env = "BACKSTOCK_PASSWORD_HASHES_AT_ONCE", default_value_t = 0,
          value_parser = clap::value_parser!(u16).range(0..=256))]
    pub password_hashes_at_once: u16,

    /// How long a request may wait for its turn to hash before it is answered 503, in milliseconds
    #[arg(long = "password-wait-timeout-ms", env = "BACKSTOCK_PASSWORD_WAIT_TIMEOUT_MS", default_value = "2000",
          value_parser = parse_millis)]
    pub password_wait_timeout: Duration,
}

/// What an account may do how often.
#[derive(Debug, Clone, Args)]
pub struct AccountSettings {
    /// Sign-ins that may fail for one email within the window; a person mistypes, a list of passwords doesn't end
    #[arg(long, env = "BACKSTOCK_SIGN_IN_FAILURES_PER_EMAIL", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sign_in_failures_per_email: u32,

    /// Sign-ins and registrations that may fail for one client address within the window; an office shares one
    #[arg(long, env = "BACKSTOCK_SIGN_IN_FAILURES_PER_CLIENT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sign_in_failures_per_client: u32,

    /// The window that failures are counted in, in seconds, from the first one on
    #[arg(long, env = "BACKSTOCK_SIGN_IN_WINDOW_S", default_value_t = 900,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub sign_in_window_s: u32,

    /// The header in which a trusted proxy names the client's address, its last entry counts, for example
    /// x-forwarded-for. Without it, the address that connects is the client's
    #[arg(long, env = "BACKSTOCK_CLIENT_ADDRESS_HEADER")]
    pub client_address_header: Option<axum::http::HeaderName>,

    /// Addresses that a customer may keep
    #[arg(long, env = "BACKSTOCK_MAX_ADDRESSES", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub max_addresses: u32,
}

/// What an order waits for, and whom it works with.
#[derive(Debug, Clone, Args)]
pub struct OrderSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub payment: PaymentSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub carrier: CarrierSettings,

    /// How long a request may work on its order besides its payment, in milliseconds. After that and the payment's timeout
    /// its process is taken for dead, and a retry goes on with the order
    #[arg(long = "order-margin-ms", env = "BACKSTOCK_ORDER_MARGIN_MS", default_value = "10000", value_parser = parse_millis)]
    pub margin: Duration,

    /// How long stock is held for an order that isn't paid, in milliseconds. Longer than the payment's timeout and the
    /// margin together: the worker settles what is older
    #[arg(long = "reservation-ms", env = "BACKSTOCK_RESERVATION_MS", default_value = "60000",
          value_parser = parse_millis)]
    pub reservation: Duration,

    /// Transactions of this process that work on one SKU's stock at a time, each with a connection; further orders of the
    /// SKU wait in line without one. Two keep its row busy: one commits while the other is on its way
    #[arg(long, env = "BACKSTOCK_SKU_WAITERS", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub sku_waiters: u16,

    /// How long an order waits in line for its SKUs before it is answered 503 with retry-after, in milliseconds. Customers
    /// wait a second; one who waits longer has asked again
    #[arg(long = "sku-queue-timeout-ms", env = "BACKSTOCK_SKU_QUEUE_TIMEOUT_MS", default_value = "1000",
          value_parser = parse_millis)]
    pub sku_queue_timeout: Duration,

    /// What the carrier signs its callbacks with, at least 16 bytes. Without it, none is accepted
    #[arg(long, env = "BACKSTOCK_CARRIER_SECRET", hide_env_values = true, value_parser = parse_shared_secret)]
    pub carrier_secret: Option<SecretString>,

    /// RabbitMQ. Only events=dual_write publishes from here; else the worker does
    #[arg(
        long,
        env = "BACKSTOCK_AMQP_URL",
        default_value = "amqp://127.0.0.1:5672/%2f",
        hide_env_values = true,
        value_parser = parse_amqp_url
    )]
    pub amqp_url: SecretString,
}

/// Stock would be given back while its payment is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "BACKSTOCK_RESERVATION_MS is {reservation_ms}; use more than {locked_ms}, which is BACKSTOCK_PAYMENT_TIMEOUT_MS and \
     BACKSTOCK_ORDER_MARGIN_MS together, for example {}", locked_ms.saturating_mul(4)
)]
pub struct ReservationTooShort {
    /// What is set.
    reservation_ms: u128,
    /// How long a request may work on its order.
    locked_ms: u128,
}

impl OrderSettings {
    /// How long a key stays locked to a request.
    pub fn key_lock(&self) -> Duration {
        self.payment.payment_timeout + self.margin
    }

    /// Holds them against each other.
    ///
    /// # Errors
    /// When a reservation may end while a request still works on its order.
    pub fn check(&self) -> Result<(), ReservationTooShort> {
        match self.reservation > self.key_lock() {
            true => Ok(()),
            false => Err(ReservationTooShort {
                reservation_ms: self.reservation.as_millis(),
                locked_ms: self.key_lock().as_millis(),
            }),
        }
    }
}

/// A secret that is shared with a third party.
fn parse_shared_secret(text: &str) -> Result<SecretString, String> {
    const MIN_BYTES: usize = 16;
    if text.len() < MIN_BYTES {
        return Err(format!(
            "has {} bytes; use at least {MIN_BYTES}, for example openssl rand -hex 32",
            text.len()
        ));
    }
    Ok(text.into())
}
