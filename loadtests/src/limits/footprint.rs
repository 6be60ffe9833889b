//! How soon a shop is ready, and how much memory it holds.

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::LimitResult;
use crate::costs::resident_bytes;
use crate::load::{Request, hold_open};
use crate::shop::{Shop, ShopSettings};

const MOST_START_UP_MS: f64 = 150.0;
const MOST_MEGABYTES: f64 = 64.0;

/// Files that the lab and its shops may need beside the connections that are held open.
const OTHER_FILES: u64 = 512;

/// The median time from the start of the process until it says that it is ready, migrations apart.
pub async fn start_up_time(settings: &ShopSettings, starts: usize) -> Result<LimitResult> {
    ensure!(starts > 0, "a start-up time needs a start");
    let mut times_ms = Vec::with_capacity(starts);
    for _ in 0..starts {
        let shop = Shop::start(settings.clone()).await?;
        times_ms.push(shop.start_up_time().as_secs_f64() * 1e3);
    }
    times_ms.sort_by(f64::total_cmp);
    let median = times_ms[starts / 2];
    let what = format!("from the start of the api until /readyz answers 200, median of {starts}");
    let met = median < MOST_START_UP_MS;
    let mut result = LimitResult::new("start_up_time", what, "under 150 ms", median, "ms", met);
    result.details = vec![
        ("fastest_ms".to_owned(), times_ms[0]),
        ("slowest_ms".to_owned(), times_ms[starts - 1]),
    ];
    Ok(result)
}

/// Resident memory while so many clients hold a connection on which each has been served once.
pub async fn memory_with_open_connections(
    settings: &ShopSettings,
    path: &str,
    connections: usize,
) -> Result<LimitResult> {
    allow_open_files(connections as u64 + OTHER_FILES)?;
    let shop = Shop::start(settings.clone()).await?;
    let megabytes = |pid| Ok::<_, anyhow::Error>(resident_bytes(pid)? as f64 / 1e6);
    let idle = megabytes(shop.pid())?;
    let held = hold_open(&shop.target(), &Request::get(path)?, connections).await?;
    let measured = megabytes(shop.pid())?;
    ensure!(
        held.count() == connections,
        "the shop closed {} connections",
        connections - held.count()
    );
    let what = format!("resident memory of the api with {connections} open connections, each served once");
    let met = measured < MOST_MEGABYTES;
    let mut result = LimitResult::new("resident_memory", what, "under 64 MB", measured, "MB", met);
    result.details.push(("without_connections_mb".to_owned(), idle));
    Ok(result)
}

/// Raises the limit on open files, which children inherit, as far as an ordinary user may.
pub(super) fn allow_open_files(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|maximum| maximum >= needed),
        "{needed} open files are needed, {} are allowed: raise the limit with `ulimit -Hn {needed}` as root",
        limit.maximum.unwrap_or_default()
    );
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(needed),
            maximum: limit.maximum,
        },
    )
    .context("cannot raise the limit on open files")
}
