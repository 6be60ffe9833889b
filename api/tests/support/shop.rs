//! The service that tests talk to: the real `app(app_builder)`, built from the real settings, over a database of its own
//! and under a Redis prefix of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::settings::Settings;
use api::state::AppState;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use clap::Parser;
use http_body_util::BodyExt;
use sqlx::ConnectOptions;
use storefront::variants::Variants;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;

use super::answer::Answer;
use super::database::{Content, Database};
use super::servers::servers;
use super::until;

/// What cursors of all test shops are signed with.
pub const SECRETS: &str = "test:0123456789abcdef0123456789abcdef";

pub struct TestShop {
    pub database: Arc<Database>,
    pub variants: Variants,
    pub redis_prefix: String,
    /// The components, for what they count.
    pub state: AppState,
    router: Router,
    follower: JoinHandle<()>,
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// How a shop differs from its defaults.
#[derive(Default, Clone)]
pub struct Changes {
    flags: BTreeMap<&'static str, String>,
    has_no_cache: bool,
}

impl Changes {
    /// Its Redis is away, unless the test sets one: nothing is waited for, and nothing is kept.
    pub fn without_a_cache(mut self) -> Self {
        self.has_no_cache = true;
        // Port 1 refuses connections at once.
        let nowhere = || "redis://127.0.0.1:1/".to_owned();
        self.flags.entry("--redis-url").or_insert_with(nowhere);
        self
    }

    /// With other changes, which win.
    pub fn and(mut self, other: Self) -> Self {
        self.flags.extend(other.flags);
        self.has_no_cache |= other.has_no_cache;
        self
    }

    pub fn set(mut self, flag: &'static str, value: impl ToString) -> Self {
        self.flags.insert(flag, value.to_string());
        self
    }
}

impl TestShop {
    /// A shop with a database of its own.
    pub async fn start(variants: &str) -> Self {
        Self::start_with(variants, Changes::default()).await
    }

    pub async fn start_with(variants: &str, changes: Changes) -> Self {
        let variants: Variants = variants.parse().unwrap();
        let database = Database::new(Content::Catalogue, variants.indexes).await;
        Self::on(Arc::new(database), variants, changes).await
    }

    /// A shop on a database that others may use as well.
    pub async fn on(database: Arc<Database>, variants: Variants, changes: Changes) -> Self {
        let redis_prefix = format!("test:{}:", Uuid::now_v7().simple());
        let mut flags = BTreeMap::from([
            ("--database-url", database.url()),
            ("--database-connections", "2".to_owned()),
            // Far more than a busy machine needs: what is waited for is said by the test that waits.
            ("--database-acquire-timeout-ms", "20000".to_owned()),
            ("--database-read-statement-timeout-ms", "20000".to_owned()),
            ("--database-lock-timeout-ms", "20000".to_owned()),
            ("--sku-queue-timeout-ms", "20000".to_owned()),
            // A test counts statements, however slow the machine is.
            ("--cache-max-feed-lag-ms", "600000".to_owned()),
            ("--price-validity-ms", "20000".to_owned()),
            // Tests buy in crowds of one customer.
            ("--max-open-orders", "100".to_owned()),
            ("--redis-url", servers().redis_url.clone()),
            ("--redis-timeout-ms", "5000".to_owned()),
            ("--redis-prefix", redis_prefix),
            ("--jwt-secrets", SECRETS.to_owned()),
            ("--variants", variants.to_string()),
        ]);
        flags.extend(changes.flags);
        let arguments = flags.iter().flat_map(|(flag, value)| [*flag, value.as_str()]);
        let Flags { settings } = Flags::parse_from(["shop"].into_iter().chain(arguments));
        let app_builder = api::state::build_app(&settings).unwrap();
        // As `serve` does; a database that isn't there is the test's own business.
        if let Ok(mut connection) = database.options.connect().await {
            let _ = app_builder.state.catalog.reference.load(&mut connection).await;
        }
        let following = app_builder.state.clone();
        let follower = tokio::spawn(async move { api::catalog::changes::follow(&following).await });
        let shop = Self {
            database,
            variants,
            redis_prefix: settings.redis.redis_prefix,
            state: app_builder.state.clone(),
            router: api::app(&app_builder),
            follower,
        };
        if variants.catalog_cache.as_str() == "redis" && !changes.has_no_cache {
            until("the shop has read the catalogue's changes", async || {
                shop.state.catalog.cache.knows_changes().then_some(())
            })
            .await;
        }
        shop
    }

    /// From here on, all statements are those of requests; a change is no longer noticed.
    pub async fn stop_following_the_epoch(&mut self) {
        self.follower.abort();
        let _ = (&mut self.follower).await;
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    /// As a browser asks: it accepts what every browser accepts.
    pub async fn get_compressed(&self, path: &str, encodings: &str) -> Answer {
        self.send(Request::get(path).header("accept-encoding", encodings))
            .await
    }

    pub async fn method(&self, method: Method, path: &str) -> Answer {
        self.send(Request::builder().method(method).uri(path)).await
    }

    pub async fn send(&self, request: axum::http::request::Builder) -> Answer {
        self.answer(request.body(Body::empty()).unwrap()).await
    }

    pub async fn send_json(&self, request: axum::http::request::Builder, body: &serde_json::Value) -> Answer {
        let request = request.header("content-type", "application/json");
        self.answer(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    pub async fn answer(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    /// All pages from the first on.
    pub async fn follow(&self, path: &str) -> Vec<Answer> {
        let mut pages = vec![self.get(path).await.ok()];
        while let Some(next) = pages.last().unwrap().next() {
            assert!(pages.len() < 1000, "{path} goes round in circles");
            pages.push(self.get(&next).await.ok());
        }
        pages
    }
}

impl Drop for TestShop {
    fn drop(&mut self) {
        self.follower.abort();
    }
}
