//! One shop with all its processes and stores.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use local_services::Services;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tcp_proxy::Proxy;
use uuid::Uuid;

use super::books::{self, Books};
use super::broker::empty_vhost;
use super::carts::Goods;
use super::{Simulators, ThirdParties, Worker};
use crate::costs::{LAB_MARK, Processes, Statements};
use crate::database::{clone_database, drop_database};
use crate::shop::{Shop, ShopSettings};

/// How often it is asked whether all work is done. The answer reads every order of the run, which what is measured meanwhile
/// must not notice.
const DRAIN_POLL: Duration = Duration::from_millis(100);

/// How often the outbox is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Virtual hosts are kept from run to run, since making one takes seconds.
const VHOST_PREFIX: &str = "town";

/// What all towns share.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The stores.
    pub services: &'a Services,
    /// The api's binary. The worker and the simulators are beside it.
    pub api_binary: &'a Path,
    /// Where processes log to.
    pub logs: &'a Path,
}

/// What distinguishes a town.
#[derive(Debug, Clone)]
pub struct TownSettings {
    /// For its logs.
    pub name: String,
    /// Unique among the towns that live.
    pub number: u8,
    /// `BACKSTOCK_VARIANTS`.
    pub variants: String,
    /// The database that is cloned.
    pub template: String,
    /// Further settings of the api and of the worker.
    pub environment: Vec<(String, String)>,
    /// Settings of the town's database, as `alter database … set` takes them.
    pub database_settings: Vec<(&'static str, &'static str)>,
    /// Whether api and worker reach the broker through [`Town::broker_proxy`], which copies every byte.
    pub has_broker_proxy: bool,
}

/// A running town. Dropping it ends its processes at once.
pub struct Town {
    /// The api. `None` between its death and its return.
    pub shop: Option<Shop>,
    /// The worker, where it works.
    pub worker: Option<Worker>,
    /// The third parties.
    pub simulators: Simulators,
    /// The lab's own connection to the database.
    pub monitor: PgConnection,
    /// The way of api and worker to the broker.
    pub broker_proxy: Proxy,
    /// The broker, not through the proxy.
    pub amqp_url: String,
    /// All orders of this run have later ids.
    pub since: Uuid,
    /// What the api is started with.
    pub api: ShopSettings,
    worker_binary: PathBuf,
    worker_environment: Vec<(String, String)>,
    worker_log: PathBuf,
    database: String,
    server_url: String,
    processes: Processes,
}

impl Town {
    /// Clones the database, empties the virtual host, and starts everything but the worker.
    pub async fn build(place: Place<'_>, settings: TownSettings) -> Result<Town> {
        let services = place.services;
        let server_url = services.database_url("postgres");
        let database = format!("backstock_town_{}", settings.number);
        clone_database(&server_url, &settings.template, &database)
            .await
            .context("cannot clone the data for a town")?;
        let vhost = format!("{VHOST_PREFIX}{}", settings.number);
        tokio::task::block_in_place(|| services.create_vhost(&vhost))?;
        let amqp_url = services.amqp_url(&vhost);
        empty_vhost(&amqp_url).await?;
        let database_url = services.database_url(&database);
        let mut monitor = PgConnection::connect(&database_url).await?;
        Statements::enable(&mut monitor).await?;
        for (name, value) in &settings.database_settings {
            // Sessions that begin from now on have it.
            sqlx::query(AssertSqlSafe(format!(
                "alter database {database} set {name} = '{value}' {LAB_MARK}"
            )))
            .execute(&mut monitor)
            .await?;
        }

        let log = |program: &str| place.logs.join(format!("{}-{program}.log", settings.name));
        let simulators = Simulators::start(
            &place.api_binary.with_file_name("backstock-simulators"),
            &log("simulators"),
        )
        .await?;
        let broker_proxy = Proxy::in_front_of(&amqp_url, Duration::ZERO)?;
        let broker_url = match settings.has_broker_proxy {
            true => broker_proxy.through(&amqp_url)?,
            false => amqp_url.clone(),
        };
        let mut environment = simulators.environment();
        environment.extend(settings.environment.iter().cloned());
        let api = ShopSettings {
            api_binary: place.api_binary.to_owned(),
            variants: settings.variants.clone(),
            database_url: database_url.clone(),
            redis_url: services.redis_url(200 + settings.number),
            amqp_url: Some(broker_url.clone()),
            log_path: log("api"),
            extra_env: environment.clone(),
            is_other_build: false,
        };
        environment.extend([
            ("BACKSTOCK_DATABASE_URL".to_owned(), database_url),
            ("BACKSTOCK_AMQP_URL".to_owned(), broker_url),
            ("BACKSTOCK_VARIANTS".to_owned(), settings.variants.clone()),
        ]);
        Ok(Town {
            shop: Some(Shop::start(api.clone()).await?),
            worker: None,
            simulators,
            monitor,
            broker_proxy,
            amqp_url,
            since: Uuid::now_v7(),
            api,
            worker_binary: place.api_binary.with_file_name("backstock-worker"),
            worker_environment: environment,
            worker_log: log("worker"),
            database,
            server_url,
            processes: Processes {
                postgres: services.postgres_pid(),
                rabbitmq: services.rabbitmq_pid(),
                ..Processes::default()
            },
        })
    }

    /// The api, which runs.
    ///
    /// # Panics
    /// Between its death and its return.
    pub fn shop(&self) -> &Shop {
        self.shop
            .as_ref()
            .expect("the api runs, but for the moment of a trial that killed it")
    }

    /// Lets the worker work on these parts: `relay`, `consumers`, `upkeep`.
    pub async fn start_worker(&mut self, parts: &str) -> Result<()> {
        let mut environment = self.worker_environment.clone();
        environment.push(("BACKSTOCK_PARTS".to_owned(), parts.to_owned()));
        self.worker = Some(Worker::start(&self.worker_binary, &environment, &self.worker_log).await?);
        Ok(())
    }

    /// Asks the worker to end, where it works.
    pub async fn stop_worker(&mut self) -> Result<()> {
        match self.worker.take() {
            Some(worker) => worker.stop().await,
            None => Ok(()),
        }
    }

    /// `kill -9` of api and worker.
    pub fn kill(&mut self) {
        self.shop = None;
        self.worker = None;
    }

    /// Starts the api again.
    pub async fn start_api(&mut self) -> Result<()> {
        self.shop = Some(Shop::start(self.api.clone()).await?);
        Ok(())
    }

    /// Whose CPU time counts: the town's processes, and the stores that all towns share in turns.
    pub fn processes(&self) -> Processes {
        Processes {
            api: self.shop.as_ref().map(Shop::pid),
            worker: self.worker.as_ref().map(Worker::pid),
            ..self.processes
        }
    }

    /// Sets how slow the third parties are.
    pub async fn set_delays(&self, delays: &ThirdParties) -> Result<()> {
        self.simulators.set_delays(delays).await
    }

    /// Orders that are not all done: unpaid, without their mail, or not `fulfilled`.
    pub async fn undone(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar(AssertSqlSafe(format!(
            "select count(*) from orders o where o.id > $1 and (o.status = 'pending_payment' or o.status = 'paid' \
             or o.status = 'fulfilled' and not exists (select from order_events e where e.order_id = o.id \
             and e.event = 'confirmation_sent')) {LAB_MARK}"
        )))
        .bind(self.since)
        .fetch_one(&mut self.monitor)
        .await?)
    }

    /// Events that wait in the outbox.
    pub async fn unsaid(&mut self) -> Result<i64> {
        Ok(
            sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from outbox {LAB_MARK}")))
                .fetch_one(&mut self.monitor)
                .await?,
        )
    }

    /// Waits until every order is done and every event said. How many orders are left when patience ends.
    pub async fn drain(&mut self, patience: Duration) -> Result<i64> {
        let begun = Instant::now();
        loop {
            let left = self.undone().await? + self.unsaid().await?;
            if left == 0 || begun.elapsed() > patience {
                return Ok(left);
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }

    /// Waits until the outbox is empty.
    pub async fn wait_until_said(&mut self, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        while self.unsaid().await? > 0 {
            if begun.elapsed() > patience {
                bail!("the outbox was not empty within {patience:?}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// What the run left.
    pub async fn books(&mut self, goods: &Goods) -> Result<Books> {
        let charged_twice = self.simulators.charged_twice().await?;
        let payments = self.simulators.payments().await?;
        let mut books = books::read(&mut self.monitor, self.since, goods).await?;
        (books.charged_twice, books.payments) = (charged_twice, payments);
        Ok(books)
    }

    /// Ends all processes and drops the database.
    pub async fn stop(mut self) -> Result<()> {
        self.stop_worker().await?;
        if let Some(shop) = self.shop.take() {
            shop.stop().await?;
        }
        self.simulators.stop().await?;
        self.monitor.close().await?;
        drop_database(&self.server_url, &self.database).await
    }
}
