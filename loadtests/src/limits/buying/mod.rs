//! The limits of buying: an order against Postgres alone, the relay and the consumers against their targets, the order
//! mix, and a flash sale. Each runs in a town of its own, and what it leaves behind has to add up.
//!
//! Read next: `checkout.rs`, then `order_script.rs`.

mod checkout;
mod consumers;
mod flash_sale;
mod order_mix;
mod order_script;
mod relay;

use std::path::Path;

use anyhow::{Result, ensure};
use local_services::Services;

use super::{LimitResult, Turns};
use crate::trials::{Goods, Place, Town, TownSettings};

/// Towns of comparisons have lower numbers.
const TOWN: u8 = 9;

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
    /// How rivals take turns.
    pub turns: Turns,
}

/// Runs them all, in this order. `say` is told what is measured.
pub async fn buying(plan: &Buying<'_>, say: impl Fn(&'static str)) -> Result<Vec<LimitResult>> {
    let mut results = Vec::new();
    say("checkout against pgbench");
    let mut town = plan.town("checkout", &[]).await?;
    let pgbench = plan.services.postgres_bin().join("pgbench");
    results.push(checkout::checkout_against_pgbench(&mut town, &pgbench, plan.turns).await?);
    town.stop().await?;

    say("the relay with a full outbox");
    let mut town = plan.town("relay", &[]).await?;
    results.push(relay::relay_rate(&mut town).await?);
    town.stop().await?;

    say("the consumers when third parties answer at once");
    let mut town = plan.town("consumers", &[]).await?;
    results.push(consumers::consumer_rate(&mut town).await?);
    town.stop().await?;

    say("the order mix at 70 % of capacity");
    let mut town = plan.town("order-mix", &[]).await?;
    results.push(order_mix::done_in_time(&mut town).await?);
    town.stop().await?;

    say("a flash sale");
    let mut town = plan.town("flash-sale", &[]).await?;
    results.push(flash_sale::flash_sale(&mut town).await?);
    town.stop().await?;
    Ok(results)
}

impl Buying<'_> {
    async fn town(&self, name: &str, environment: &[(&str, &str)]) -> Result<Town> {
        let place = Place {
            services: self.services,
            api_binary: self.api_binary,
            logs: self.logs,
        };
        let settings = TownSettings {
            name: format!("limits-{name}"),
            number: TOWN,
            variants: "optimized".to_owned(),
            template: self.template.to_owned(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        Town::build(place, settings).await
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
