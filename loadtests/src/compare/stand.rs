//! What one arm runs on while its lesson is compared: a database of its own, a logical Redis database of its own, and
//! two processes of the api: one behind proxies, to be counted or kept at a distance, and one without, to be timed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use local_services::Services;
use sqlx::{Connection, PgConnection};
use tcp_proxy::{Counters, Proxy};
use techniques::Lesson;

use super::clones::Clones;
use super::data::Data;
use crate::costs::{Processes, Statements};
use crate::shop::{Shop, ShopSettings};
use crate::trials::Simulators;

/// Cursors and tokens are signed with keys that are derived from it: processes of one arm must understand each other.
const SECRET: &str = "lab:only-used-for-comparisons-on-one-machine-0123456789";

/// Where the lab's shops get what they need.
pub struct Ground {
    /// The stores.
    pub services: Services,
    /// The api's binary.
    pub api_binary: PathBuf,
    /// Logs of the shops.
    pub logs: PathBuf,
    /// The payment gateway, the carrier and the mail server, where a lesson needs them.
    pub third_parties: Option<Simulators>,
    /// What the shops sell.
    pub data: Data,
    /// The seed of generated data and of all draws.
    pub seed: u64,
    /// The databases of the arms.
    pub clones: Clones,
}

/// How long every shop of a lesson waits for a statement, for a lock, and in the queue of a SKU: as long as a baseline
/// needs, and alike for all arms. With the shop's own bounds, a baseline would be refused where it is to be measured. A lesson
/// that needs longer says so in its plan, for all of its arms.
pub const WAITS: [(&str, &str); 3] = [
    ("BACKSTOCK_DATABASE_READ_STATEMENT_TIMEOUT_MS", "10000"),
    ("BACKSTOCK_DATABASE_LOCK_TIMEOUT_MS", "10000"),
    ("BACKSTOCK_SKU_QUEUE_TIMEOUT_MS", "10000"),
];

impl Ground {
    /// What every shop has in its environment: the secret, how long it waits, and where the third parties are.
    pub fn environment(&self) -> Vec<(String, String)> {
        let secret = ("BACKSTOCK_JWT_SECRETS".to_owned(), SECRET.to_owned());
        let waits = WAITS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let third_parties = self.third_parties.iter().flat_map(Simulators::environment);
        std::iter::once(secret)
            .chain(waits)
            .chain(third_parties)
            .collect()
    }
}

/// One arm under test.
pub struct Stand {
    /// The arm.
    pub arm: &'static str,
    /// Its database, without a proxy.
    pub database_url: String,
    /// Its logical Redis database, without a proxy.
    pub redis_url: String,
    /// The process behind the proxies.
    pub counted: Shop,
    /// The process without.
    pub timed: Shop,
    /// Counts and delays what passes between `counted` and Postgres.
    pub postgres_proxy: Proxy,
    /// The same for Redis.
    pub redis_proxy: Proxy,
    /// The lab's own connection to the database.
    pub monitor: PgConnection,
    /// What its database is a clone of.
    pub template: String,
    variants: String,
    environment: Vec<(String, String)>,
}

impl Stand {
    /// The stands of a lesson's arms, each on a clone of its own.
    pub async fn build_all(
        ground: &Ground,
        lesson: &Lesson,
        arms: &[&'static str],
        extra: &[(&str, &str)],
    ) -> Result<Vec<Self>> {
        let server_url = ground.services.database_url("postgres");
        let mut templates = Vec::new();
        for arm in arms {
            let set = index_set(lesson, arm);
            let template = ground
                .data
                .template(&server_url, &ground.api_binary, ground.seed, set);
            templates.push(template.await?);
        }
        let databases = ground.clones.of(&server_url, &templates).await;
        let databases = databases.with_context(|| format!("cannot clone the data for `{}`", lesson.name))?;
        let mut stands = Vec::new();
        for (number, (database, template)) in databases.into_iter().zip(templates).enumerate() {
            let arm = arms[number];
            stands.push(Self::build(ground, lesson, arm, number as u8, database, template, extra).await?);
        }
        Ok(stands)
    }

    /// Starts both processes. `number` is unique among the stands that live.
    async fn build(
        ground: &Ground,
        lesson: &Lesson,
        arm: &'static str,
        number: u8,
        database: String,
        template: String,
        extra: &[(&str, &str)],
    ) -> Result<Self> {
        let database_url = ground.services.database_url(&database);
        let redis_url = ground.services.redis_url(100 + number);
        empty_redis(&redis_url).await?;
        let mut monitor = PgConnection::connect(&database_url).await?;
        Statements::enable(&mut monitor).await?;

        let postgres_proxy = Proxy::in_front_of(&database_url, Duration::ZERO)?;
        let redis_proxy = Proxy::in_front_of(&redis_url, Duration::ZERO)?;
        let variants = variants(lesson, arm);
        let mut environment: Vec<(String, String)> = extra
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        environment.extend(ground.environment());
        let settings = |database_url: String, redis_url: String, name: &str| ShopSettings {
            api_binary: ground.api_binary.clone(),
            variants: variants.clone(),
            database_url,
            redis_url,
            amqp_url: None,
            log_path: log_path(&ground.logs, lesson, arm, name),
            extra_env: environment.clone(),
            is_other_build: false,
        };
        let counted = settings(
            postgres_proxy.through(&database_url)?,
            redis_proxy.through(&redis_url)?,
            "counted",
        );
        let timed = settings(database_url.clone(), redis_url.clone(), "timed");
        Ok(Self {
            arm,
            counted: Shop::start(counted).await?,
            timed: Shop::start(timed).await?,
            database_url,
            redis_url,
            postgres_proxy,
            redis_proxy,
            monitor,
            template,
            variants,
            environment,
        })
    }

    /// A further process of the same arm on the same stores, to compare the arm with itself at this distance: behind the
    /// same proxies as [`Stand::shop_at`]'s, or behind none.
    pub async fn twin(&self, ground: &Ground, lesson: &Lesson, distance: Duration) -> Result<Shop> {
        if distance.is_zero() {
            return self
                .start(ground, lesson, &self.database_url, &self.redis_url, "twin")
                .await;
        }
        let database_url = self.postgres_proxy.through(&self.database_url)?;
        let redis_url = self.redis_proxy.through(&self.redis_url)?;
        self.start(ground, lesson, &database_url, &redis_url, "twin")
            .await
    }

    /// A further process of the same arm that reaches its database by this URL.
    pub async fn at(&self, ground: &Ground, lesson: &Lesson, database_url: &str, name: &str) -> Result<Shop> {
        self.start(ground, lesson, database_url, &self.redis_url, name)
            .await
    }

    async fn start(
        &self,
        ground: &Ground,
        lesson: &Lesson,
        database_url: &str,
        redis_url: &str,
        name: &str,
    ) -> Result<Shop> {
        Shop::start(ShopSettings {
            api_binary: ground.api_binary.clone(),
            variants: self.variants.clone(),
            database_url: database_url.to_owned(),
            redis_url: redis_url.to_owned(),
            amqp_url: None,
            log_path: log_path(&ground.logs, lesson, self.arm, name),
            extra_env: self.environment.clone(),
            is_other_build: false,
        })
        .await
    }

    /// Which process serves a scenario at this distance. The delay applies to the counted one.
    pub fn shop_at(&self, distance: Duration) -> &Shop {
        self.postgres_proxy.set_delay(distance);
        self.redis_proxy.set_delay(distance);
        if distance.is_zero() {
            &self.timed
        } else {
            &self.counted
        }
    }

    /// What has passed the proxies so far: Postgres, Redis.
    pub fn counters(&self) -> (Counters, Counters) {
        (self.postgres_proxy.counters(), self.redis_proxy.counters())
    }

    /// Forgets what the cache keeps.
    pub async fn empty_cache(&self) -> Result<()> {
        empty_redis(&self.redis_url).await
    }

    /// Ends both processes. The database stays, for whoever is next.
    pub async fn stop(self) -> Result<()> {
        self.monitor.close().await?;
        self.counted.stop().await?;
        self.timed.stop().await
    }
}

/// Whose CPU time counts for a shop: the api's own, and that of the stores that all shops share in turns.
pub fn processes(shop: &Shop, services: &Services) -> Processes {
    Processes {
        api: Some(shop.pid()),
        worker: None,
        postgres: services.postgres_pid(),
        redis: services.redis_pid(),
        rabbitmq: None,
    }
}

/// `optimized`, the lesson's context, and the arm.
pub fn variants(lesson: &Lesson, arm: &str) -> String {
    let mut text = "optimized".to_owned();
    for (other, other_arm) in lesson.context {
        text.push_str(&format!(",{other}={other_arm}"));
    }
    text.push_str(&format!(",{}={arm}", lesson.name));
    text
}

fn index_set(lesson: &Lesson, arm: &'static str) -> &'static str {
    let context = || {
        lesson
            .context
            .iter()
            .find(|(other, _)| *other == "indexes")
            .map(|(_, set)| *set)
    };
    match lesson.name {
        "indexes" => arm,
        _ => context().unwrap_or("chosen"),
    }
}

fn log_path(logs: &Path, lesson: &Lesson, arm: &str, name: &str) -> PathBuf {
    logs.join(format!("{}-{arm}-{name}.log", lesson.name))
}

pub(super) async fn empty_redis(url: &str) -> Result<()> {
    let mut connection = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    redis::cmd("FLUSHDB")
        .query_async::<()>(&mut connection)
        .await
        .context("cannot empty a Redis database")
}

/// The address that requests go to.
pub fn target(shop: &Shop) -> crate::load::Target {
    let address: SocketAddr = shop.address();
    crate::load::Target::new(address)
}
