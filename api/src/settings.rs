//! The api's settings, as `--help` documents them. Each is a flag or an environment variable, and is validated at
//! startup.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use platform::keyring::Keyring;
use platform::postgres::bulkhead::Share;
use platform::server::ConnectionSettings;
use platform::settings::{
    DatabaseSettings, LogSettings, RedisSettings, TelemetrySettings, parse_amqp_url, parse_millis,
};
use secrecy::SecretString;
use shop::third_parties::carrier::CarrierSettings;
use shop::third_parties::mail::MailSettings;
use shop::third_parties::payment::PaymentSettings;
use techniques::Selection;

/// Everything that `backstock-api serve` needs.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where customers connect, unless the process inherits a listening socket by systemd's protocol (LISTEN_FDS)
    #[arg(long, env = "BACKSTOCK_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where operators connect: health and metrics. Never expose it to the internet
    #[arg(long, env = "BACKSTOCK_INTERNAL_LISTEN", default_value = "127.0.0.1:9080")]
    pub internal_listen: SocketAddr,

    /// A preset, then changes: optimized | baseline[,lesson=arm…], for example optimized,pagination=offset
    #[arg(
        long = "variants",
        value_name = "VARIANTS",
        env = "BACKSTOCK_VARIANTS",
        default_value = "optimized"
    )]
    pub selection: Selection,

    /// Secrets as kid:secret, comma-separated; the first signs, all verify. Each needs at least 32 bytes
    #[arg(long, env = "BACKSTOCK_JWT_SECRETS", hide_env_values = true)]
    pub jwt_secrets: Keyring,

    /// The address of a second shop that `/` links to
    #[arg(long, env = "BACKSTOCK_OTHER_SHOP_URL")]
    pub other_shop_url: Option<String>,

    /// Threads that run requests; 0 means one per core
    #[arg(long, env = "BACKSTOCK_THREADS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,

    #[command(flatten)]
    pub http: HttpSettings,

    #[command(flatten)]
    pub catalog: CatalogSettings,

    #[command(flatten)]
    pub cache: CacheSettings,

    #[command(flatten)]
    pub replicas: ReplicaSettings,

    #[command(flatten)]
    pub sessions: SessionSettings,

    #[command(flatten)]
    pub passwords: PasswordSettings,

    #[command(flatten)]
    pub accounts: AccountSettings,

    #[command(flatten)]
    pub orders: OrderSettings,

    #[command(flatten)]
    pub mail: MailSettings,

    #[command(flatten)]
    pub database: DatabaseSettings,

    #[command(flatten)]
    pub bulkheads: BulkheadSettings,

    #[command(flatten)]
    pub redis: RedisSettings,

    #[command(flatten)]
    pub log: LogSettings,

    #[command(flatten)]
    pub telemetry: TelemetrySettings,
}

/// Bounds on every request.
#[derive(Debug, Clone, Copy, Args)]
pub struct HttpSettings {
    /// How long a request may take before it is aborted with a 503, in milliseconds
    #[arg(long = "request-timeout-ms", env = "BACKSTOCK_REQUEST_TIMEOUT_MS", default_value = "30000",
          value_parser = parse_millis)]
    pub request_timeout: Duration,

    /// The largest request body that is accepted, in bytes
    #[arg(long, env = "BACKSTOCK_MAX_BODY_BYTES", default_value_t = 65_536)]
    pub max_body_bytes: usize,

    /// How long after SIGTERM idle connections stay open, while /readyz fails and responses carry `connection:
    /// close`, in milliseconds. Longer than a balancer takes to stop sending requests, and than clients pause between
    /// two requests
    #[arg(long = "closing-notice-ms", env = "BACKSTOCK_CLOSING_NOTICE_MS", default_value = "100",
          value_parser = parse_millis)]
    pub closing_notice: Duration,

    /// How long requests in flight may take to finish after the closing notice, in milliseconds
    #[arg(long = "drain-timeout-ms", env = "BACKSTOCK_DRAIN_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub drain_timeout: Duration,

    /// How long the body of a request may take to arrive, in milliseconds. Bodies are small
    /// (BACKSTOCK_MAX_BODY_BYTES)
    #[arg(long = "body-timeout-ms", env = "BACKSTOCK_BODY_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub body_timeout: Duration,

    #[command(flatten)]
    pub connections: ConnectionSettings,
}

/// How the connections to Postgres are divided among classes of requests (bulkheads). All have the form
/// guaranteed-maximum, for example 1-5. Connections that are guaranteed to no class are lent to any.
#[derive(Debug, Clone, Copy, Args)]
pub struct BulkheadSettings {
    /// Connections for lists, products and categories, guaranteed-maximum [default: of every 8 connections 1-5]
    #[arg(long, env = "BACKSTOCK_DATABASE_BROWSE_CONNECTIONS", value_parser = parse_share)]
    pub database_browse_connections: Option<Share>,

    /// Connections for requests with search words, guaranteed-maximum [default: of every 8 connections 1-2, because
    /// search costs Postgres most]
    #[arg(long, env = "BACKSTOCK_DATABASE_SEARCH_CONNECTIONS", value_parser = parse_share)]
    pub database_search_connections: Option<Share>,

    /// Connections for carts and orders, guaranteed-maximum [default: of every 8 connections 1-5]
    #[arg(long, env = "BACKSTOCK_DATABASE_BUY_CONNECTIONS", value_parser = parse_share)]
    pub database_buy_connections: Option<Share>,

    /// Connections for accounts, reviews and admins, guaranteed-maximum [default: of every 8 connections 1-3]
    #[arg(long, env = "BACKSTOCK_DATABASE_ACCOUNT_CONNECTIONS", value_parser = parse_share)]
    pub database_account_connections: Option<Share>,

    /// How long a statement that browses or searches may take before it is cancelled, in milliseconds. All others
    /// have BACKSTOCK_DATABASE_STATEMENT_TIMEOUT_MS; these too, if it is shorter
    #[arg(long = "database-read-statement-timeout-ms", env = "BACKSTOCK_DATABASE_READ_STATEMENT_TIMEOUT_MS",
          default_value = "500", value_parser = parse_millis)]
    pub database_read_statement_timeout: Duration,
}

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

/// Bounds on the catalogue's responses.
#[derive(Debug, Clone, Copy, Args)]
pub struct CatalogSettings {
    /// How many variants, and how many images, a list shows of each product with `include`. A page has up to a
    /// hundred products: with 100 of each, it stays below about five megabytes
    #[arg(long, env = "BACKSTOCK_MAX_LIST_DETAILS", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=2_048))]
    pub max_list_details: u16,
}

/// Time to live of the catalogue's cache entries, in seconds. It bounds how long an unused response takes up memory,
/// not staleness: an admin's change is visible within a second, and so is a product page's stock that ran out or came
/// back. Data that may be older has a setting of its own.
#[derive(Debug, Clone, Copy, Args)]
pub struct CacheSettings {
    /// Time to live of lists, facets, suggestions and reviews, in seconds
    #[arg(long = "cache-ttl-listings-s", env = "BACKSTOCK_CACHE_TTL_LISTINGS_S", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub listings_ttl_s: u32,

    /// Time to live of single products, in seconds
    #[arg(long = "cache-ttl-products-s", env = "BACKSTOCK_CACHE_TTL_PRODUCTS_S", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub products_ttl_s: u32,

    /// Time to live of the category tree, in seconds
    #[arg(long = "cache-ttl-categories-s", env = "BACKSTOCK_CACHE_TTL_CATEGORIES_S", default_value_t = 14_400,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub categories_ttl_s: u32,

    /// How stale stock flags and ratings in lists and counts may be, in milliseconds. Customers change these: the
    /// shorter it is, the more often lists are computed again
    #[arg(long = "cache-list-staleness-ms", env = "BACKSTOCK_CACHE_LIST_STALENESS_MS", default_value = "60000",
          value_parser = parse_millis)]
    pub list_staleness: Duration,

    /// How often all lists are invalidated while products change continuously, in milliseconds. Up to ten changes are
    /// visible immediately; together with the feed's quarter of a second, every change is visible within one
    #[arg(long = "cache-list-refresh-ms", env = "BACKSTOCK_CACHE_LIST_REFRESH_MS", default_value = "700",
          value_parser = parse_millis)]
    pub list_refresh: Duration,

    /// How long ago a process may have read the catalogue's changes and still serve cached responses, in milliseconds. It
    /// reads them four times a second: a price is right everywhere within this time, also when reading is delayed
    #[arg(long = "cache-max-feed-lag-ms", env = "BACKSTOCK_CACHE_MAX_FEED_LAG_MS", default_value = "1000",
          value_parser = parse_millis)]
    pub max_feed_lag: Duration,

    /// How long a process waits for another one that is computing the same response, in milliseconds, before it
    /// computes it itself
    #[arg(long = "cache-fill-wait-ms", env = "BACKSTOCK_CACHE_FILL_WAIT_MS", default_value = "500",
          value_parser = parse_millis)]
    pub fill_wait: Duration,

    /// The largest response that is cached, in bytes: a larger one costs Redis more than it saves
    #[arg(
        long = "cache-max-answer-bytes",
        env = "BACKSTOCK_CACHE_MAX_ANSWER_BYTES",
        default_value_t = 262_144
    )]
    pub max_answer_bytes: usize,

    /// Responses requested for the first time: how many bytes of them a process caches per minute. Others are cached
    /// at their second request. This keeps requests that never repeat from evicting those that do
    #[arg(
        long = "cache-first-answers-bytes-per-minute",
        env = "BACKSTOCK_CACHE_FIRST_ANSWERS_BYTES_PER_MINUTE",
        default_value_t = 4_194_304
    )]
    pub first_answers_bytes_per_minute: usize,
}

/// The in-process replicas of the catalogue.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReplicaSettings {
    /// Products read by one statement while a process loads the columns that facets count: few enough to stay far
    /// from the statement timeout
    #[arg(long, env = "BACKSTOCK_REPLICA_PAGE_ROWS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub replica_page_rows: u32,

    /// How long a request waits for a replica that is still loading before it is answered 503, in milliseconds
    #[arg(long = "replica-wait-ms", env = "BACKSTOCK_REPLICA_WAIT_MS", default_value = "2000",
          value_parser = parse_millis)]
    pub replica_wait: Duration,

    /// The most matching products that facets of a search count. Beyond it, counts are approximate, so a common word
    /// costs no more than a rare one. In the worst case each product is on its own page of the table, and a request
    /// should read at most 2,000 pages
    #[arg(long, env = "BACKSTOCK_FACET_CANDIDATES", default_value_t = 1_800,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub facet_candidates: u32,

    /// How many best-selling products' titles a process holds for suggestions, about 100 bytes each
    #[arg(long, env = "BACKSTOCK_SUGGESTION_PRODUCTS", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub suggestion_products: u32,

    /// How old the suggestions' order by sales may become before it is reloaded in the background, in seconds
    #[arg(long, env = "BACKSTOCK_SUGGESTION_MAX_AGE_S", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub suggestion_max_age_s: u32,
}

/// Lifetimes of a sign-in's tokens.
#[derive(Debug, Clone, Copy, Args)]
pub struct SessionSettings {
    /// Lifetime of an access token, in seconds. A signed one outlives a sign-out by up to this
    #[arg(long, env = "BACKSTOCK_ACCESS_TOKEN_LIFETIME_S", default_value_t = 900,
          value_parser = clap::value_parser!(u32).range(1..=900))]
    pub access_token_lifetime_s: u32,

    /// Lifetime of a refresh token, in seconds; each refresh issues a new one
    #[arg(long, env = "BACKSTOCK_REFRESH_TOKEN_LIFETIME_S", default_value_t = 2_592_000,
          value_parser = clap::value_parser!(u32).range(60..=31_536_000))]
    pub refresh_token_lifetime_s: u32,
}

/// How much of the machine password hashing may use. One hash takes 19 MiB of memory and one core.
#[derive(Debug, Clone, Copy, Args)]
pub struct PasswordSettings {
    /// Passwords hashed concurrently; 0 means one for every two cores
    #[arg(long, env = "BACKSTOCK_PASSWORD_HASHES_AT_ONCE", default_value_t = 0,
          value_parser = clap::value_parser!(u16).range(0..=256))]
    pub password_hashes_at_once: u16,

    /// How long a request may wait to hash a password before it is answered 503, in milliseconds
    #[arg(long = "password-wait-timeout-ms", env = "BACKSTOCK_PASSWORD_WAIT_TIMEOUT_MS", default_value = "2000",
          value_parser = parse_millis)]
    pub password_wait_timeout: Duration,
}

/// Limits on accounts.
#[derive(Debug, Clone, Args)]
pub struct AccountSettings {
    /// Failed sign-ins allowed for one email within the window: enough for typing errors, too few for a list of
    /// passwords
    #[arg(long, env = "BACKSTOCK_SIGN_IN_FAILURES_PER_EMAIL", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sign_in_failures_per_email: u32,

    /// Failed sign-ins and registrations allowed for one client address within the window; an office shares one
    #[arg(long, env = "BACKSTOCK_SIGN_IN_FAILURES_PER_CLIENT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sign_in_failures_per_client: u32,

    /// The window in which failures are counted, in seconds from the first one
    #[arg(long, env = "BACKSTOCK_SIGN_IN_WINDOW_S", default_value_t = 900,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub sign_in_window_s: u32,

    /// The header in which a trusted proxy passes the client's address, for example x-forwarded-for; its last entry
    /// counts. Without it, the peer's address is the client's
    #[arg(long, env = "BACKSTOCK_CLIENT_ADDRESS_HEADER")]
    pub client_address_header: Option<axum::http::HeaderName>,

    /// Addresses that a customer may store
    #[arg(long, env = "BACKSTOCK_MAX_ADDRESSES", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub max_addresses: u32,
}

/// Limits and third parties of orders.
#[derive(Debug, Clone, Args)]
pub struct OrderSettings {
    #[command(flatten)]
    pub payment: PaymentSettings,

    #[command(flatten)]
    pub carrier: CarrierSettings,

    /// How long a request may work on its order apart from the payment, in milliseconds. After this and the payment's
    /// timeout the process is presumed dead, and a retry resumes the order
    #[arg(long = "order-margin-ms", env = "BACKSTOCK_ORDER_MARGIN_MS", default_value = "10000", value_parser = parse_millis)]
    pub margin: Duration,

    /// How long stock stays reserved for an unpaid order, in milliseconds. Longer than the payment's timeout and the
    /// margin together: the worker reconciles older ones
    #[arg(long = "reservation-ms", env = "BACKSTOCK_RESERVATION_MS", default_value = "60000",
          value_parser = parse_millis)]
    pub reservation: Duration,

    /// Transactions of this process that work on one SKU's stock concurrently, each with a connection; further orders
    /// of the SKU queue without one. Two keep its row busy: one commits while the next is on its way
    #[arg(long, env = "BACKSTOCK_SKU_WAITERS", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub sku_waiters: u16,

    /// How long an order queues for its SKUs before it is answered 503 with retry-after, in milliseconds. Customers
    /// wait about a second before they retry
    #[arg(long = "sku-queue-timeout-ms", env = "BACKSTOCK_SKU_QUEUE_TIMEOUT_MS", default_value = "1000",
          value_parser = parse_millis)]
    pub sku_queue_timeout: Duration,

    /// How long the prices that an order began with are trusted, in milliseconds. An order whose stock is reserved
    /// later, because it waited for a connection, the queue or a row lock, compares them again before it commits, which
    /// takes a transaction of several statements. Longer than an uncontended order takes
    #[arg(long = "price-validity-ms", env = "BACKSTOCK_PRICE_VALIDITY_MS", default_value = "50",
          value_parser = parse_millis)]
    pub price_validity: Duration,

    /// Unpaid orders that one customer may have at a time; more are 409 too_many_open_orders. Each holds its stock
    /// until it is paid or fails
    #[arg(long, env = "BACKSTOCK_MAX_OPEN_ORDERS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_open_orders: u32,

    /// Units of one SKU in a guest's order; more are 409 too_many_units. Enough for a household; a wholesale buyer
    /// has an account
    #[arg(long, env = "BACKSTOCK_GUEST_MAX_UNITS", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub guest_max_units: u32,

    /// The secret that the carrier signs its webhooks with, at least 16 bytes. Without it, all are rejected
    #[arg(long, env = "BACKSTOCK_CARRIER_SECRET", hide_env_values = true, value_parser = parse_shared_secret)]
    pub carrier_secret: Option<SecretString>,

    /// RabbitMQ. Only events=dual_write publishes from the api; otherwise the worker does
    #[arg(
        long,
        env = "BACKSTOCK_AMQP_URL",
        default_value = "amqp://127.0.0.1:5672/%2f",
        hide_env_values = true,
        value_parser = parse_amqp_url
    )]
    pub amqp_url: SecretString,
}

/// Stock would be returned while its payment is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "BACKSTOCK_RESERVATION_MS is {reservation_ms}; use more than {locked_ms}, which is BACKSTOCK_PAYMENT_TIMEOUT_MS and \
     BACKSTOCK_ORDER_MARGIN_MS together, for example {}", locked_ms.saturating_mul(4)
)]
pub struct ReservationTooShort {
    reservation_ms: u128,
    /// How long a request may work on its order.
    locked_ms: u128,
}

impl OrderSettings {
    /// How long an idempotency key stays locked to a request.
    pub fn key_lock(&self) -> Duration {
        self.payment.payment_timeout + self.margin
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// When a reservation could expire while a request still works on its order.
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
