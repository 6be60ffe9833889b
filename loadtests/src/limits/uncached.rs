//! The uncached listing of this build against that of another, each on a database of its own schema with the same rows.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::{LimitResult, Turns};
use crate::database::{clone_database, drop_database, migrate, url_of};
use crate::load::{Request, closed_loop, warm_up};
use crate::shop::{Shop, ShopSettings};

const LEAST_RATIO: f64 = 1.4;

/// Of the other build and of this one.
const DATABASES: [&str; 2] = ["backstock_limits_other", "backstock_limits_this"];

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Uncached<'a> {
    /// The shop of this build, without its cache. Its database is another here.
    pub settings: &'a ShopSettings,
    /// The other build.
    pub other_api: &'a Path,
    /// Any database of the server.
    pub server_url: &'a str,
    /// The frozen shop: each build migrates a copy of it to its own schema.
    pub frozen_template: &'a str,
    /// The page.
    pub path: &'a str,
    /// How they take turns.
    pub turns: Turns,
}

/// Throughput of the listing without its cache, this build ÷ the other.
pub async fn uncached_listing(plan: &Uncached<'_>) -> Result<LimitResult> {
    let mut shops = Vec::new();
    for (database, api_binary) in DATABASES.iter().zip([plan.other_api, &plan.settings.api_binary]) {
        clone_database(plan.server_url, plan.frozen_template, database).await?;
        let database_url = url_of(plan.server_url, database);
        // The other build may be of before there was a way to migrate offline.
        migrate(api_binary, &database_url, "chosen", &[]).await?;
        shops.push(
            Shop::start(ShopSettings {
                api_binary: api_binary.to_owned(),
                database_url,
                log_path: std::env::temp_dir().join(format!("{database}.log")),
                ..plan.settings.clone()
            })
            .await?,
        );
    }
    let Turns {
        slice, connections, ..
    } = plan.turns;
    let requests: Arc<[Request]> = [Request::get(plan.path)?].into();
    for shop in &shops {
        warm_up(&shop.target(), &requests, connections).await?;
    }
    let rate = async |shop: &Shop, seed| {
        let outcome = closed_loop(&shop.target(), &requests, connections, slice, seed).await?;
        ensure!(
            outcome.errors.total() == 0,
            "the listing failed under load: {:?}",
            outcome.errors
        );
        Ok(outcome.throughput())
    };
    let (other, this) = (&shops[0], &shops[1]);
    let rivalry = plan
        .turns
        .take(
            async |seed| rate(this, seed).await,
            async |seed| rate(other, seed).await,
        )
        .await?;
    for shop in shops {
        shop.stop().await?;
    }
    for database in DATABASES {
        drop_database(plan.server_url, database).await?;
    }
    let ratio = rivalry.ratio.value;
    let what = format!(
        "GET {} uncached ÷ another build of the api, {connections} connections, the same rows",
        plan.path
    );
    let mut result = LimitResult::new(
        "uncached_listing",
        what,
        "at least 1.4",
        ratio,
        "",
        ratio >= LEAST_RATIO,
    );
    result.ci95 = Some(rivalry.ratio.ci95);
    result.limit = Some(rivalry.theirs);
    result.details = vec![("requests_per_s".to_owned(), rivalry.ours)];
    Ok(result)
}
