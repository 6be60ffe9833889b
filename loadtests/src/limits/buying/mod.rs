//! The limits of buying: an order against Postgres alone, the relay and the consumers against their targets, the order
//! mix, sales of few units and of a hot SKU, a lock from outside, an order that can't be settled, and the
//! memory that all of it takes. Each runs in a town of its own, and what it leaves behind has to add up.
//!
//! Read next: `checkout.rs`, then `hot_sale.rs`.

mod bad_order;
mod checkout;
mod consumers;
mod cpu_by_process;
mod fault;
mod flash_sale;
mod hot_sale;
mod memory;
mod order_mix;
mod outside_lock;
mod pages;
mod relay;
mod server_log;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use local_services::Services;

use self::fault::Fault;
use super::footprint::allow_open_files;
use super::{LimitResult, Turns};
use crate::database::{clone_database, drop_database};
use crate::frozen;
use crate::trials::{Goods, Place, Town, TownSettings};
use dataset::Scale;

/// Towns of comparisons have lower numbers.
const TOWN: u8 = 9;

/// The frozen shop that pgbench orders from.
const FROZEN_DATABASE: &str = "backstock_limits_frozen";

/// Open files of the lab, and of each process that it starts: a thousand connections, and what else there is.
const OPEN_FILES: u64 = 2_048;

/// What the limits of buying are measured with.
#[derive(Debug, Clone, Copy)]
pub struct Buying<'a> {
    /// The stores.
    pub services: &'a Services,
    /// The api; the worker and the simulators are beside it.
    pub api_binary: &'a Path,
    /// Where processes log to.
    pub logs: &'a Path,
    /// The database that is cloned for each check.
    pub template: &'a str,
    /// What is in it.
    pub scale: Scale,
    /// How rivals take turns.
    pub turns: Turns,
    /// Whether everything that lasts is short: for trying whether it runs, not for verdicts.
    pub is_quick: bool,
}

impl Buying<'_> {
    /// The relay, the order mix, and a flash sale.
    pub async fn relay_mix_and_flash_sale(&self, say: impl Fn(&'static str)) -> Result<Vec<LimitResult>> {
        say("the relay with a full outbox");
        let mut town = self.town("relay", &[]).await?;
        let relay = relay::relay_rate(&mut town).await?;
        town.stop().await?;

        say("the order mix at 70 % of capacity");
        let mut town = self.town("order-mix", &[]).await?;
        let mix = order_mix::done_in_time(&mut town).await?;
        town.stop().await?;

        say("a flash sale");
        let mut town = self.town("flash-sale", &[]).await?;
        let sale = flash_sale::flash_sale(&mut town).await?;
        town.stop().await?;
        Ok(vec![relay, mix, sale])
    }

    /// Orders against pgbench on the frozen shop.
    pub async fn orders(&self) -> Result<LimitResult> {
        let server_url = self.services.database_url("postgres");
        let frozen = frozen::ensure_frozen_template(&server_url, self.scale).await?;
        clone_database(&server_url, &frozen, FROZEN_DATABASE).await?;
        let mut town = self.town("checkout", &[]).await?;
        let pgbench = self.services.postgres_bin().join("pgbench");
        let frozen_url = self.services.database_url(FROZEN_DATABASE);
        let result = checkout::checkout_against_pgbench(&mut town, &pgbench, &frozen_url, self.turns).await;
        town.stop().await?;
        drop_database(&server_url, FROZEN_DATABASE).await?;
        result
    }

    /// The consumers, with third parties that answer at once and with such as there are.
    pub async fn consumers(&self, say: impl Fn(&'static str)) -> Result<Vec<LimitResult>> {
        let mut results = Vec::new();
        for (plan, what) in [
            (
                consumers::AT_ONCE,
                "the consumers when third parties answer at once",
            ),
            (consumers::USUAL, "the consumers at the usual latencies"),
        ] {
            say(what);
            let orders = if self.is_quick {
                plan.orders / 16
            } else {
                plan.orders
            };
            let mut town = self.town(plan.name, &[]).await?;
            results.push(consumers::consumer_rate(&mut town, consumers::Plan { orders, ..plan }).await?);
            town.stop().await?;
        }
        Ok(results)
    }

    /// A sale of one SKU.
    pub async fn hot_sale(&self) -> Result<LimitResult> {
        let mut town = self.town("hot-sale", &hot_sale::DATABASE_SETTINGS).await?;
        let log = self.services.postgres_log();
        let result = hot_sale::hot_sale(&mut town, log.as_deref(), self.lasting(60)).await?;
        town.stop().await?;
        Ok(result)
    }

    /// A SKU that a stranger locks.
    pub async fn lock_from_outside(&self) -> Result<LimitResult> {
        let mut town = self.town("outside-lock", &[]).await?;
        let result = outside_lock::lock_from_outside(&mut town, self.lasting(10)).await?;
        town.stop().await?;
        Ok(result)
    }

    /// An order that can't be settled.
    pub async fn one_bad_order(&self) -> Result<LimitResult> {
        let fault = Fault::start().await?;
        let mut settings = self.settings("bad-order", &[]);
        settings
            .environment
            .push(("BACKSTOCK_PAYMENT_URL".to_owned(), fault.url()));
        let mut town = Town::build(self.place(), settings).await?;
        let result = bad_order::one_bad_order(&mut town, &fault).await?;
        town.stop().await?;
        Ok(result)
    }

    /// The api's memory under load of all routes.
    pub async fn memory(&self) -> Result<[LimitResult; 2]> {
        let mut town = self.town("memory", &[]).await?;
        let results = memory::memory_of_all_routes(&mut town, self.lasting(30)).await?;
        town.stop().await?;
        Ok(results)
    }

    /// So many seconds, or a fifth of them when it has to be quick.
    fn lasting(&self, seconds: u64) -> Duration {
        Duration::from_secs(if self.is_quick {
            (seconds / 5).max(1)
        } else {
            seconds
        })
    }

    fn place(&self) -> Place<'_> {
        Place {
            services: self.services,
            api_binary: self.api_binary,
            logs: self.logs,
        }
    }

    fn settings(&self, name: &str, database_settings: &[(&'static str, &'static str)]) -> TownSettings {
        TownSettings {
            name: format!("limits-{name}"),
            number: TOWN,
            variants: "optimized".to_owned(),
            template: self.template.to_owned(),
            environment: Vec::new(),
            database_settings: database_settings.to_vec(),
            has_broker_proxy: false,
        }
    }

    async fn town(&self, name: &str, database_settings: &[(&'static str, &'static str)]) -> Result<Town> {
        // Before its processes start, which inherit the limit.
        allow_open_files(OPEN_FILES)?;
        Town::build(self.place(), self.settings(name, database_settings)).await
    }
}

/// Holds what a check left against what there was.
async fn expect_right_books(town: &mut Town, goods: &Goods, units_each: i32) -> Result<()> {
    let books = town.books(goods).await?;
    let units_at_first = i64::from(units_each) * goods.variants.len() as i64;
    let miscounted = books.miscounted(units_at_first);
    ensure!(miscounted == 0, "{miscounted} units are sold and still there");
    if let Some(fault) = books.violated() {
        anyhow::bail!("after the check there are {fault}");
    }
    Ok(())
}
