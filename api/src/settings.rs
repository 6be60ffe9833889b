//! The api's settings: what `--help` documents. Each is read from its flag or the environment, and checked at start.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use storefront::keyring::Keyring;
use storefront::postgres::bulkhead::Share;
use storefront::server::ConnectionSettings;
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
    pub catalog: CatalogSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub cache: CacheSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub replicas: ReplicaSettings,

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
    pub bulkheads: BulkheadSettings,

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

    /// How long the body of a request may take to come, in milliseconds. It is small (BACKSTOCK_MAX_BODY_BYTES)
    #[arg(long = "body-timeout-ms", env = "BACKSTOCK_BODY_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub body_timeout: Duration,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub connections: ConnectionSettings,
}

/// How Postgres' connections are shared out to classes of requests. All have the form guaranteed-maximum, for example
/// 1-5. What is guaranteed to no class is lent to whichever needs it.
#[derive(Debug, Clone, Copy, Args)]
pub struct BulkheadSettings {
    /// Connections for lists, products and categories, guaranteed-maximum [default: of every 8 connections 1-5]
    #[arg(long, env = "BACKSTOCK_DATABASE_BROWSE_CONNECTIONS", value_parser = parse_share)]
    pub database_browse_connections: Option<Share>,

    /// Connections for requests that search by words, guaranteed-maximum [default: of every 8 connections 1-2, since
    /// searching is what costs Postgres most]
    #[arg(long, env = "BACKSTOCK_DATABASE_SEARCH_CONNECTIONS", value_parser = parse_share)]
    pub database_search_connections: Option<Share>,

    /// Connections for carts and orders, guaranteed-maximum [default: of every 8 connections 1-5]
    #[arg(long, env = "BACKSTOCK_DATABASE_BUY_CONNECTIONS", value_parser = parse_share)]
    pub database_buy_connections: Option<Share>,

    /// Connections for accounts, reviews and admins, guaranteed-maximum [default: of every 8 connections 1-3]
    #[arg(long, env = "BACKSTOCK_DATABASE_ACCOUNT_CONNECTIONS", value_parser = parse_share)]
    pub database_account_connections: Option<Share>,

    /// How long a statement that browses or searches may take before it is cancelled, in milliseconds. All others have
    /// BACKSTOCK_DATABASE_STATEMENT_TIMEOUT_MS, also these if that is less
    #[arg(long = "database-read-statement-timeout-ms", env = "BACKSTOCK_DATABASE_READ_STATEMENT_TIMEOUT_MS",
          default_value = "500", value_parser = parse_millis)]
    pub database_read_statement_timeout: Duration,
}

/// Parses a class's share of the connections.
fn parse_share(text: &str) -> Result<Share, String> {
    let parsed = text
        .split_once('-')
        .and_then(|(guaranteed, maximum)| Some((guaranteed.parse().ok()?, maximum.parse().ok()?)));
    match parsed {
        Some((guaranteed, maximum)) if (guaranteed..=1000).contains(&maximum) && maximum > 0 => {
            Ok(Share { guaranteed, maximum })
        }
        _ => Err("must be a guaranteed number and a maximum up to 1000, for example 1-5".to_owned()),
    }
}

/// Bounds on what the catalogue answers.
#[derive(Debug, Clone, Copy, Args)]
pub struct CatalogSettings {
    /// How many variants, and how many images, of each product a list shows with `include`. A page has up to a hundred
    /// products: with 100 of each, it stays below some five megabytes
    #[arg(long, env = "BACKSTOCK_MAX_LIST_DETAILS", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=2_048))]
    pub max_list_details: u16,
}

/// How long the catalogue's cache keeps what, in seconds. They bound what an answer that nobody asks for again occupies,
/// not how old it may be: whatever these say, an admin's change is seen within a second, and so is stock that ran out or
/// came back on a product's page. What may be older is a setting of its own.
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

    /// How old stock flags and ratings in lists and counts may be, in milliseconds. Customers change these: the shorter it
    /// is, the more often a list is made again for them
    #[arg(long = "cache-list-staleness-ms", env = "BACKSTOCK_CACHE_LIST_STALENESS_MS", default_value = "60000",
          value_parser = parse_millis)]
    pub list_staleness: Duration,

    /// How often all lists are made again while products are changed all the time, in milliseconds. Ten changes are seen
    /// at once before that; with the feed's quarter of a second, every change is seen within one
    #[arg(long = "cache-list-refresh-ms", env = "BACKSTOCK_CACHE_LIST_REFRESH_MS", default_value = "700",
          value_parser = parse_millis)]
    pub list_refresh: Duration,

    /// How long ago a process may have read the catalogue's changes and still serve what is kept, in milliseconds. It reads
    /// them four times a second: a price is right everywhere within this time, also when that is held up
    #[arg(long = "cache-max-feed-lag-ms", env = "BACKSTOCK_CACHE_MAX_FEED_LAG_MS", default_value = "1000",
          value_parser = parse_millis)]
    pub max_feed_lag: Duration,

    /// How long a process waits for another that is making the same answer, in milliseconds, before it does the work itself
    #[arg(long = "cache-fill-wait-ms", env = "BACKSTOCK_CACHE_FILL_WAIT_MS", default_value = "500",
          value_parser = parse_millis)]
    pub fill_wait: Duration,

    /// The largest answer that is stored, in bytes: one that is larger costs Redis more than it saves
    #[arg(
        long = "cache-max-answer-bytes",
        env = "BACKSTOCK_CACHE_MAX_ANSWER_BYTES",
        default_value_t = 262_144
    )]
    pub max_answer_bytes: usize,

    /// Answers that were asked for once: how many bytes a process stores of them in a minute. Others are stored when they are
    /// asked for again. It keeps requests that never repeat from evicting those that do
    #[arg(
        long = "cache-first-answers-bytes-per-minute",
        env = "BACKSTOCK_CACHE_FIRST_ANSWERS_BYTES_PER_MINUTE",
        default_value_t = 4_194_304
    )]
    pub first_answers_bytes_per_minute: usize,
}

/// What a process holds of the catalogue, and counts of it.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReplicaSettings {
    /// Products that are read by one statement while a process loads the columns that facets count: so few that it is far
    /// from its timeout
    #[arg(long, env = "BACKSTOCK_REPLICA_PAGE_ROWS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub replica_page_rows: u32,

    /// How long a request waits for what its process is still loading before it is answered 503, in milliseconds
    #[arg(long = "replica-wait-ms", env = "BACKSTOCK_REPLICA_WAIT_MS", default_value = "2000",
          value_parser = parse_millis)]
    pub replica_wait: Duration,

    /// The most products with the words that facets count. Beyond, they are approximate: a common word costs no more
    /// than a rare one. Each is on another page of the table at worst, and a request should read 2,000 pages at most
    #[arg(long, env = "BACKSTOCK_FACET_CANDIDATES", default_value_t = 1_800,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub facet_candidates: u32,

    /// The best-selling products whose titles a process holds for suggestions, about 100 bytes each
    #[arg(long, env = "BACKSTOCK_SUGGESTION_PRODUCTS", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub suggestion_products: u32,

    /// How old the order of suggestions by sales may be before it is read again in the background, in seconds
    #[arg(long, env = "BACKSTOCK_SUGGESTION_MAX_AGE_S", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub suggestion_max_age_s: u32,
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

    /// For how long the prices that an order was begun with are believed, in milliseconds. One that takes longer until its
    /// stock is taken, because it waited for a connection, its turn or a row, compares them again before it commits.
    /// Longer than an order takes that waits for nothing
    #[arg(long = "price-validity-ms", env = "BACKSTOCK_PRICE_VALIDITY_MS", default_value = "50",
          value_parser = parse_millis)]
    pub price_validity: Duration,

    /// Orders of one customer that may wait for their payment at a time; more are 409 too_many_open_orders. Each holds its
    /// stock until then
    #[arg(long, env = "BACKSTOCK_MAX_OPEN_ORDERS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_open_orders: u32,

    /// Units of one SKU that an order of a guest may have; more are 409 too_many_units. A household's purchase fits, a
    /// warehouse's has an account
    #[arg(long, env = "BACKSTOCK_GUEST_MAX_UNITS", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub guest_max_units: u32,

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
