//! The checks, in their order. Read next: the file of a check.

use std::path::Path;

use anyhow::Result;
use local_services::Services;

use super::command::{Command, DATABASE, Part};
use super::terminal::Progress;
use super::{
    Buying, CachedListing, LimitResult, Listing, OtherBuild, UpgradePlan, Worst, being_watched,
    cached_listing_against_bare_route, generator_against_wrk, generator_floor, listing_against_pgbench,
    listing_by_index, memory_with_open_connections, start_up_time, uncached_listing, upgrade,
    worst_of_generated,
};
use crate::database::{clone_database, drop_database};
use crate::frozen::ensure_frozen_template;
use crate::shop::{Shop, ShopSettings};

/// A logical database of Redis that neither `make up` nor a comparison uses.
const REDIS_DATABASE: u8 = 250;

/// Likewise, of another build: neither may read what the other has cached.
const OTHER_REDIS_DATABASE: u8 = 249;

/// The page whose details take a second statement.
const DETAILED_PATH: &str = "/v1/products?limit=20&include=variants,images";

/// The database that is upgraded.
const UPGRADED_DATABASE: &str = "backstock_limits_upgraded";

const START_UPS: usize = 7;
const OPEN_CONNECTIONS: usize = 1_000;

/// Steps of the progress bar when all parts run.
const STEPS: u64 = 22;

/// What every check is measured with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stand<'a> {
    pub(super) services: &'a Services,
    pub(super) lab: &'a Path,
    pub(super) api_binary: &'a Path,
    pub(super) template: &'a str,
}

/// Runs the checks of the parts that are wanted.
pub(super) async fn measure(command: &Command, stand: &Stand<'_>) -> Result<Vec<LimitResult>> {
    let progress = Progress::new(STEPS);
    let mut results = Vec::new();
    let is_wanted = |part| command.only.is_none_or(|only| only == part);
    if is_wanted(Part::Catalogue) {
        results.extend(catalogue(command, stand, &progress).await?);
    }
    if is_wanted(Part::Worst) {
        progress.next("the worst of a generated set");
        results.extend(worst(command, stand).await?);
    }
    results.extend(buying(command, stand, &progress).await?);
    results.extend(against_other_build(command, stand, &progress).await?);
    if is_wanted(Part::Upgrade) {
        progress.next("an upgrade under traffic");
        results.push(upgraded(command, stand).await?);
    }
    anyhow::ensure!(
        !results.is_empty(),
        "nothing was measured: `--only uncached` needs --other-api"
    );
    Ok(results)
}

/// What it costs to be watched, which needs no other build but is held against one, and what needs one.
async fn against_other_build(
    command: &Command,
    stand: &Stand<'_>,
    progress: &Progress,
) -> Result<Vec<LimitResult>> {
    let is_wanted = |part| command.only.is_none_or(|only| only == part);
    let server_url = stand.services.database_url("postgres");
    let redis_url = stand.services.redis_url(OTHER_REDIS_DATABASE);
    let frozen_template;
    let other = match command.other_api.as_deref() {
        Some(api_binary) if is_wanted(Part::Observation) || is_wanted(Part::Uncached) => {
            frozen_template = ensure_frozen_template(&server_url, command.scale).await?;
            Some(OtherBuild {
                api_binary,
                server_url: &server_url,
                frozen_template: &frozen_template,
                redis_url: &redis_url,
            })
        }
        _ => None,
    };
    let mut results = Vec::new();
    if is_wanted(Part::Observation) {
        progress.next("what it costs to be watched");
        let cached = stand.shop("optimized");
        results.extend(being_watched(&cached, &command.path, other.as_ref(), command.turns()).await?);
    }
    if let Some(other) = other.as_ref().filter(|_| is_wanted(Part::Uncached)) {
        progress.next("the uncached listing against another build's");
        let uncached = stand.shop("optimized,catalog_cache=none");
        results.push(uncached_listing(&uncached, other, &command.path, command.turns()).await?);
    }
    Ok(results)
}

async fn worst(command: &Command, stand: &Stand<'_>) -> Result<Vec<LimitResult>> {
    let name = format!("worst-{}-{}.json", command.scale, command.seed);
    let plan = Worst {
        settings: &stand.shop("optimized,catalog_cache=none"),
        scale: command.scale,
        seed: command.seed,
        combinations: usize::from(command.combinations),
        record: command.record_directory()?.join(name),
        against: command.against.clone(),
    };
    worst_of_generated(&plan).await
}

async fn buying(command: &Command, stand: &Stand<'_>, progress: &Progress) -> Result<Vec<LimitResult>> {
    let logs = std::env::temp_dir().join("backstock-limits");
    let plan = Buying {
        services: stand.services,
        api_binary: stand.api_binary,
        logs: &logs,
        template: stand.template,
        scale: command.scale,
        turns: command.turns(),
        is_quick: command.quick,
    };
    let mut results = Vec::new();
    let is_wanted = |part| command.only.is_none_or(|only| only == part);
    if is_wanted(Part::Orders) {
        progress.next("orders against pgbench on the frozen shop");
        results.push(plan.orders().await?);
    }
    if is_wanted(Part::Consumers) {
        results.extend(plan.consumers(|what| progress.next(what)).await?);
    }
    if is_wanted(Part::Buying) {
        results.extend(plan.relay_mix_and_flash_sale(|what| progress.next(what)).await?);
    }
    if is_wanted(Part::HotSale) {
        progress.next("a sale of one SKU");
        results.push(plan.hot_sale().await?);
    }
    if is_wanted(Part::OutsideLock) {
        progress.next("a lock from outside");
        results.push(plan.lock_from_outside().await?);
    }
    if is_wanted(Part::BadOrder) {
        progress.next("an order that can't be settled");
        results.push(plan.one_bad_order().await?);
    }
    if is_wanted(Part::Memory) {
        progress.next("memory under load of all routes");
        results.extend(plan.memory().await?);
    }
    Ok(results)
}

async fn catalogue(command: &Command, stand: &Stand<'_>, progress: &Progress) -> Result<Vec<LimitResult>> {
    let turns = command.turns();
    let (uncached, cached) = (
        stand.shop("optimized,catalog_cache=none"),
        stand.shop("optimized"),
    );
    let mut results = Vec::new();
    progress.next("how soon the api is ready");
    results.push(start_up_time(&cached, START_UPS).await?);
    progress.next("its memory with open connections");
    results.push(memory_with_open_connections(&cached, &command.path, OPEN_CONNECTIONS).await?);

    progress.next("the plans of the listing's statements");
    let [plans, _] = listing_by_index(&uncached, "listing", &command.path).await?;
    // How many statements this page takes is a result of the comparison with pgbench.
    results.push(plans);
    results.extend(listing_by_index(&uncached, "detailed_listing", DETAILED_PATH).await?);

    progress.next("the uncached listing against pgbench");
    let pgbench = stand.services.postgres_bin().join("pgbench");
    let listing = Listing {
        settings: &uncached,
        path: &command.path,
        pgbench: &pgbench,
        turns,
    };
    results.extend(listing_against_pgbench(&listing).await?);

    progress.next("the cached listing against a bare route");
    let shop = Shop::start(cached.clone()).await?;
    let plan = CachedListing {
        shop: &shop,
        database_url: &cached.database_url,
        redis_url: &cached.redis_url,
        path: &command.path,
        lab: stand.lab,
        turns,
    };
    results.extend(cached_listing_against_bare_route(&plan).await?);
    drop(shop);

    progress.next("the generator on an empty route");
    results.push(generator_floor(stand.lab, turns).await?);
    progress.next("the generator against wrk");
    let shop = Shop::start(uncached).await?;
    results.extend(generator_against_wrk(&shop.target(), &command.path, turns).await?);
    Ok(results)
}

async fn upgraded(command: &Command, stand: &Stand<'_>) -> Result<LimitResult> {
    let server_url = stand.services.database_url("postgres");
    let frozen = ensure_frozen_template(&server_url, command.scale).await?;
    clone_database(&server_url, &frozen, UPGRADED_DATABASE).await?;
    let plan = UpgradePlan {
        api_binary: stand.api_binary,
        database_url: &stand.services.database_url(UPGRADED_DATABASE),
        pgbench: &stand.services.postgres_bin().join("pgbench"),
    };
    let result = upgrade(&plan).await?;
    drop_database(&server_url, UPGRADED_DATABASE).await?;
    Ok(result)
}

impl Stand<'_> {
    fn shop(&self, variants: &str) -> ShopSettings {
        ShopSettings {
            api_binary: self.api_binary.to_owned(),
            variants: variants.to_owned(),
            database_url: self.services.database_url(DATABASE),
            redis_url: self.services.redis_url(REDIS_DATABASE),
            amqp_url: None,
            log_path: std::env::temp_dir().join("backstock-limits-api.log"),
            extra_env: Vec::new(),
            is_other_build: false,
        }
    }
}
