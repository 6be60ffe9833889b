//! The api's settings: what `--help` documents. Each is read from its flag or the environment, and checked at start.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use storefront::keyring::Keyring;
use storefront::settings::{DatabaseSettings, LogSettings, RedisSettings, parse_millis};
use storefront::variants::Variants;

/// Everything that `backstock-api serve` needs.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where customers connect
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
    pub database: DatabaseSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub redis: RedisSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,
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

    /// How long requests in flight may take to end after SIGTERM, in milliseconds
    #[arg(long = "drain-timeout-ms", env = "BACKSTOCK_DRAIN_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub drain_timeout: Duration,
}

/// How long the catalogue's cache keeps what, in seconds. A change is seen within a second whatever these say; they
/// bound what an answer that nobody asks for again occupies.
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
