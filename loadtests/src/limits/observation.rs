//! What it costs to be watched: the listing from the cache, with metrics and traces and without.
//!
//! The cached listing is the shortest way through the api, so what is the same for every request is the largest share of
//! it there.

use std::sync::Arc;

use anyhow::{Result, ensure};
use axum::Router;
use axum::http::StatusCode;
use bytes::Bytes;
use tokio::net::TcpListener;

use super::turns::Rivalry;
use super::{LimitResult, OtherBuild, Turns};
use crate::load::{Request, closed_loop, warm_up};
use crate::shop::{Shop, ShopSettings};

const LEAST_SHARE: f64 = 0.95;

/// What is looked for is smaller than what the machine does by itself from second to second: each turn is cut into so many,
/// that follow each other faster.
const CUT: u32 = 4;

/// Nor are two processes of one program equally fast, for as long as they live: so many of each are started, in turns. What a
/// pair of lives brought is one block for the interval, since its turns share that difference.
const LIVES: usize = 8;

/// The api's default.
const SAMPLE_RATIO: &str = "0.01";

/// Throughput with metrics and 1 % of the traces ÷ without either; without either ÷ the same again, which is the noise
/// floor; and, where there is another build of the api, this one without traces ÷ that one, for which equality is the
/// target within the floor: so a build from before there were traces shows what they cost when they are off.
pub async fn being_watched(
    settings: &ShopSettings,
    path: &str,
    other: Option<&OtherBuild<'_>>,
    turns: Turns,
) -> Result<Vec<LimitResult>> {
    let turns = Turns {
        blocks: (turns.blocks * CUT as usize).div_ceil(LIVES).max(2),
        slice: turns.slice / CUT,
        ..turns
    };
    let collector = collector().await?;
    let blind = with(settings, &[("BACKSTOCK_METRICS", "off")]);
    let watched = with(
        settings,
        &[
            ("BACKSTOCK_OTLP_ENDPOINT", collector.as_str()),
            ("BACKSTOCK_TRACE_SAMPLE_RATIO", SAMPLE_RATIO),
        ],
    );
    let rivals = rivalry(&watched, &blind, path, turns).await?;
    let share = rivals.ratio.value;
    let cost = result(
        "metrics_and_traces",
        format!("GET {path} from Redis with metrics and 1 % of the traces ÷ without either"),
        "at least 0.95",
        &rivals,
        share >= LEAST_SHARE,
    );
    let rivals = rivalry(&blind, &blind, path, turns).await?;
    let lowest_of_floor = rivals.ratio.ci95.0.min(1.0);
    let floor = result(
        "noise_floor",
        format!("GET {path} from Redis without metrics and traces ÷ the same again"),
        "about 1",
        &rivals,
        contains_one(&rivals),
    );
    let mut results = vec![cost, floor];
    if let Some(other) = other {
        let [this, older] = other.beside(settings).await?;
        let rivals = rivalry(&this, &older, path, turns).await?;
        other.drop_databases().await?;
        results.push(result(
            "traces_off",
            format!("GET {path} from Redis, traces off ÷ another build of the api"),
            "not below the noise floor's interval",
            &rivals,
            rivals.ratio.value >= lowest_of_floor,
        ));
    }
    Ok(results)
}

fn contains_one(rivals: &Rivalry) -> bool {
    let (low, high) = rivals.ratio.ci95;
    low <= 1.0 && high >= 1.0
}

fn result(name: &str, what: String, target: &str, rivals: &Rivalry, is_met: bool) -> LimitResult {
    let mut result = LimitResult::new(name, what, target, rivals.ratio.value, "", is_met);
    result.ci95 = Some(rivals.ratio.ci95);
    result.limit = Some(rivals.theirs);
    result.details = vec![("requests_per_s".to_owned(), rivals.ours)];
    result
}

fn with(settings: &ShopSettings, environment: &[(&str, &str)]) -> ShopSettings {
    let mut settings = settings.clone();
    let own = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    settings.extra_env.extend(own);
    settings
}

async fn rivalry(ours: &ShopSettings, theirs: &ShopSettings, path: &str, turns: Turns) -> Result<Rivalry> {
    let requests: Arc<[Request]> = [Request::get(path)?].into();
    let Turns {
        slice, connections, ..
    } = turns;
    let rate = async |shop: &Shop, seed| {
        let outcome = closed_loop(&shop.target(), &requests, connections, slice, seed).await?;
        ensure!(
            outcome.errors.total() == 0,
            "requests failed under load: {:?}",
            outcome.errors
        );
        Ok(outcome.throughput())
    };
    let mut lives = Vec::with_capacity(LIVES);
    for life in 0..LIVES {
        // Who comes first differs from life to life.
        let mut settings = [ours, theirs];
        settings.rotate_left(life % 2);
        let [first, second] = settings;
        let mut shops = [
            Shop::start(first.clone()).await?,
            Shop::start(second.clone()).await?,
        ];
        shops.rotate_left(life % 2);
        for shop in &shops {
            warm_up(&shop.target(), &requests, connections).await?;
        }
        let of_life = turns.blocks(
            async |seed| rate(&shops[0], seed).await,
            async |seed| rate(&shops[1], seed).await,
        );
        let of_life = Rivalry::of(&of_life.await?)?;
        lives.push((of_life.ours, of_life.theirs));
        for shop in shops {
            shop.stop().await?;
        }
    }
    Rivalry::of(&lives)
}

/// A collector that takes traces and drops them.
async fn collector() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(async |_: Bytes| StatusCode::OK);
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(url)
}
