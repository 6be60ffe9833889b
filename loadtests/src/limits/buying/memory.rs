//! How much memory the api holds under load of all routes with many open connections, and after it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::AssertSqlSafe;

use super::pages::{Page, Pages, VISITORS, failures};
use crate::costs::{LAB_MARK, resident_bytes};
use crate::limits::LimitResult;
use crate::load::{Request, closed_loop, hold_open};
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town};

const MOST_UNDER_LOAD_MB: f64 = 96.0;
const MOST_AFTER_MB: f64 = 64.0;

/// Open connections, each served once.
const CONNECTIONS: usize = 1_000;

/// Further connections, which carry the load.
const CLIENTS: usize = 64;

/// After the load, until memory is read again.
const REST: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(100);

/// Distinct requests, which are walked again and again.
const REQUESTS: usize = 20_000;

/// All that visitors do, and lists with all details, which are the largest answers.
fn shares() -> Vec<(Page, usize)> {
    let mut shares = VISITORS.to_vec();
    shares.push((Page::Register, 10));
    shares.push((Page::Buy, 60));
    shares.push((Page::Detailed, 60));
    shares
}

/// Resident megabytes of the api: the most while it is under load, and ten seconds after.
pub(super) async fn memory_of_all_routes(town: &mut Town, lasts: Duration) -> Result<[LimitResult; 2]> {
    town.set_delays(&ThirdParties::AT_ONCE).await?;
    let goods = Goods::choose(&mut town.monitor, 256, 2, PLENTY).await?;
    let mut pages = Pages::new(town, Carts::of(goods)).await?;
    let requests: Arc<[Request]> = pages.requests(town, &shares(), REQUESTS).await?;
    let (target, pid) = (town.shop().target(), town.shop().pid());
    let megabytes = || Ok::<_, anyhow::Error>(resident_bytes(pid)? as f64 / 1e6);
    let idle = megabytes()?;
    let held = hold_open(&target, &Request::get("/v1/products?limit=20")?, CONNECTIONS).await?;
    let with_connections = megabytes()?;

    let mut load = pin!(closed_loop(&target, &requests, CLIENTS, lasts, 1));
    let mut most = with_connections;
    let outcome = loop {
        tokio::select! {
            outcome = &mut load => break outcome?,
            () = tokio::time::sleep(POLL) => most = most.max(megabytes()?),
        }
    };
    ensure!(
        outcome.completed > 0,
        "nothing was answered: {:?}",
        outcome.errors
    );
    let postgres = private_of_backends(town).await?;
    tokio::time::sleep(REST).await;
    let after = megabytes()?;
    ensure!(
        held.count() == CONNECTIONS,
        "the shop closed {} connections that were in order",
        CONNECTIONS - held.count()
    );

    let what =
        format!("resident memory of the api under load of all routes with {CONNECTIONS} open connections");
    let met = most <= MOST_UNDER_LOAD_MB;
    let mut under_load = LimitResult::new("memory_under_load", what, "at most 96 MB", most, "MB", met);
    under_load.details = vec![
        ("idle_mb".to_owned(), idle),
        ("with_connections_mb".to_owned(), with_connections),
        ("requests_per_s".to_owned(), outcome.throughput()),
    ];
    let failures = failures(&outcome).into_iter();
    under_load
        .details
        .extend(failures.map(|(name, count)| (name, count as f64)));
    if let Some((backends, megabytes)) = postgres {
        under_load
            .details
            .push(("postgres_backends".to_owned(), backends as f64));
        under_load
            .details
            .push(("postgres_private_mb".to_owned(), megabytes));
    }
    let what = format!("the same {} s later, the connections still open", REST.as_secs());
    let met = after <= MOST_AFTER_MB;
    let after = LimitResult::new("memory_after_load", what, "at most 64 MB", after, "MB", met);
    Ok([under_load, after])
}

/// The backends of the api, and the megabytes that are theirs alone. None where their memory can't be read.
async fn private_of_backends(town: &mut Town) -> Result<Option<(usize, f64)>> {
    let backends: Vec<i32> = sqlx::query_scalar(AssertSqlSafe(format!(
        "select pid from pg_stat_activity where datname = current_database() and application_name = 'backstock-api' \
         {LAB_MARK}"
    )))
    .fetch_all(&mut town.monitor)
    .await?;
    let mut kilobytes = 0;
    for pid in &backends {
        let Ok(rollup) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            return Ok(None);
        };
        kilobytes += private_kilobytes(&rollup).context("the kernel doesn't say which memory is private")?;
    }
    Ok(Some((backends.len(), kilobytes as f64 * 1024.0 / 1e6)))
}

fn private_kilobytes(rollup: &str) -> Option<u64> {
    let of = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some(of("Private_Clean:")? + of("Private_Dirty:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_clean_or_dirty() {
        let rollup =
            "Rss:  9000 kB\nShared_Clean: 10 kB\nPrivate_Clean:  120 kB\nPrivate_Dirty:    3400 kB\n";
        assert_eq!(private_kilobytes(rollup), Some(3_520));
        assert_eq!(private_kilobytes("Rss: 1 kB"), None);
    }
}
