//! The service under test: the real `app(app_builder)`, built from the real settings, with its own database
//! and its own Redis prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::server::app::AppState;
use api::settings::Settings;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use clap::Parser;
use http_body_util::BodyExt;
use sqlx::ConnectOptions;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;

use super::database::{Content, Database};
use super::response::TestResponse;
use super::servers::servers;
use super::until;

/// The secret that signs the cursors and access tokens of all test shops.
pub const SECRETS: &str = "test:0123456789abcdef0123456789abcdef";

pub struct TestShop {
    pub database: Arc<Database>,
    pub redis_prefix: String,
    /// For the counters of the components.
    pub state: AppState,
    router: Router,
    change_follower: JoinHandle<()>,
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// Overrides of the default settings of a test shop.
#[derive(Default, Clone)]
pub struct Changes {
    flags: BTreeMap<&'static str, String>,
    is_without_cache: bool,
}

impl Changes {
    /// With an unreachable Redis, unless the test sets one: no request waits for it, and nothing is cached.
    pub fn without_cache(mut self) -> Self {
        self.is_without_cache = true;
        // Port 1 refuses connections immediately.
        let unreachable = || "redis://127.0.0.1:1/".to_owned();
        self.flags.entry("--redis-url").or_insert_with(unreachable);
        self
    }

    /// Merges other overrides, which take precedence.
    pub fn merge(mut self, other: Self) -> Self {
        self.flags.extend(other.flags);
        self.is_without_cache |= other.is_without_cache;
        self
    }

    pub fn set(mut self, flag: &'static str, value: impl ToString) -> Self {
        self.flags.insert(flag, value.to_string());
        self
    }
}

impl TestShop {
    /// A shop with its own database.
    pub async fn start() -> Self {
        Self::start_with(Changes::default()).await
    }

    pub async fn start_with(changes: Changes) -> Self {
        Self::on(Arc::new(Database::new(Content::Catalogue).await), changes).await
    }

    /// A shop on a database that tests share. The test must not write to it.
    pub async fn read_only() -> Self {
        Self::on(Database::shared(Content::Catalogue).await, Changes::default()).await
    }

    /// A shop on a database that other shops can share.
    pub async fn on(database: Arc<Database>, changes: Changes) -> Self {
        let redis_prefix = format!("test:{}:", Uuid::now_v7().simple());
        let mut flags = BTreeMap::from([
            ("--database-url", database.url()),
            ("--database-connections", "2".to_owned()),
            // Generous, because the machine may be busy. A test of a timeout sets its own.
            ("--database-acquire-timeout-ms", "20000".to_owned()),
            ("--database-read-statement-timeout-ms", "20000".to_owned()),
            ("--database-lock-timeout-ms", "20000".to_owned()),
            ("--sku-queue-timeout-ms", "20000".to_owned()),
            // Tests count statements, even on a slow machine.
            ("--cache-max-feed-lag-ms", "600000".to_owned()),
            ("--price-validity-ms", "20000".to_owned()),
            // Tests place many orders concurrently as one customer.
            ("--max-open-orders", "100".to_owned()),
            ("--redis-url", servers().redis_url.clone()),
            ("--redis-timeout-ms", "5000".to_owned()),
            ("--redis-prefix", redis_prefix),
            ("--jwt-secrets", SECRETS.to_owned()),
            #[cfg(feature = "baselines")]
            ("--variants", super::arms::selection().to_string()),
        ]);
        flags.extend(changes.flags);
        let arguments = flags.iter().flat_map(|(flag, value)| [*flag, value.as_str()]);
        let Flags { settings } = Flags::parse_from(["shop"].into_iter().chain(arguments));
        let app_builder = api::server::app::build_app(&settings).unwrap();
        // As `serve` does. It fails in tests that make the database unreachable.
        if let Ok(mut connection) = database.options.connect().await {
            let _ = app_builder.state.catalog.reference.load(&mut connection).await;
        }
        let state = app_builder.state.clone();
        let change_follower =
            tokio::spawn(async move { api::catalog::changes::follow(&state.catalog).await });
        let shop = Self {
            database,
            redis_prefix: settings.redis.redis_prefix,
            state: app_builder.state.clone(),
            router: api::app(&app_builder),
            change_follower,
        };
        if !changes.is_without_cache {
            until("the shop has read the change feed", async || {
                shop.state.catalog.cache.knows_changes().then_some(())
            })
            .await;
        }
        shop
    }

    /// Stops reading the change feed, so that all further statements belong to requests.
    pub async fn stop_following_changes(&mut self) {
        self.change_follower.abort();
        let _ = (&mut self.change_follower).await;
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.send(Request::get(path)).await
    }

    /// A request with `accept-encoding`, as browsers send it.
    pub async fn get_compressed(&self, path: &str, encodings: &str) -> TestResponse {
        self.send(Request::get(path).header("accept-encoding", encodings))
            .await
    }

    pub async fn method(&self, method: Method, path: &str) -> TestResponse {
        self.send(Request::builder().method(method).uri(path)).await
    }

    pub async fn send(&self, request: axum::http::request::Builder) -> TestResponse {
        self.send_request(request.body(Body::empty()).unwrap()).await
    }

    pub async fn send_json(
        &self,
        request: axum::http::request::Builder,
        body: &serde_json::Value,
    ) -> TestResponse {
        let request = request.header("content-type", "application/json");
        self.send_request(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    pub async fn send_request(&self, request: Request<Body>) -> TestResponse {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        TestResponse {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    /// All pages, following `next`.
    pub async fn follow(&self, path: &str) -> Vec<TestResponse> {
        let mut pages = vec![self.get(path).await.ok()];
        while let Some(next) = pages.last().unwrap().next() {
            assert!(pages.len() < 1000, "{path} never ends");
            pages.push(self.get(&next).await.ok());
        }
        pages
    }
}

impl Drop for TestShop {
    fn drop(&mut self) {
        self.change_follower.abort();
    }
}
