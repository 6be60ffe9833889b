//! The uncached listing of this build against that of another, each on a database of its own schema with the same rows.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{LimitResult, OtherBuild, Turns};
use crate::load::{Request, closed_loop, fetch, warm_up};
use crate::shop::{Shop, ShopSettings};

const LEAST_RATIO: f64 = 1.4;

/// Throughput of the page without the catalogue's cache, this build ÷ the other. `settings` are of a shop without it.
pub async fn uncached_listing(
    settings: &ShopSettings,
    other: &OtherBuild<'_>,
    path: &str,
    turns: Turns,
) -> Result<LimitResult> {
    let [this_settings, other_settings] = other.beside(settings).await?;
    let shops = [
        Shop::start(this_settings).await?,
        Shop::start(other_settings).await?,
    ];
    let Turns {
        slice, connections, ..
    } = turns;
    let request = Request::get(path)?;
    let pages = [
        listed(&shops[0], &request).await?,
        listed(&shops[1], &request).await?,
    ];
    ensure!(
        pages[0] == pages[1] && !pages[0].is_empty(),
        "the builds don't list the same products: {pages:?}"
    );
    let requests: Arc<[Request]> = [request].into();
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
    let rivalry = turns
        .take(
            async |seed| rate(&shops[0], seed).await,
            async |seed| rate(&shops[1], seed).await,
        )
        .await?;
    for shop in shops {
        shop.stop().await?;
    }
    other.drop_databases().await?;
    let ratio = rivalry.ratio.value;
    let what =
        format!("GET {path} uncached ÷ another build of the api, {connections} connections, the same rows");
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

/// The products of the page, by their slugs.
async fn listed(shop: &Shop, request: &Request) -> Result<Vec<String>> {
    let answer = fetch(&shop.target(), request).await?;
    let page: Value = serde_json::from_slice(&answer.body).context("the listing is no JSON")?;
    let items = page["items"].as_array().context("the listing has no items")?;
    Ok(items.iter().map(|item| item["slug"].to_string()).collect())
}
