//! A row of `variants` that a foreign session locks, as a report or an operator with an open transaction does. Orders of that
//! SKU wait or get a 503; all other requests must be unaffected.

use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::expect_right_books;
use super::hot_sale::{OTHERS_CONNECTIONS, others_p99_ms, unanswered};
use super::pages::{Pages, VISITORS, failures};
use crate::costs::LAB_MARK;
use crate::limits::LimitResult;
use crate::load::open_loop;
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town};

const LOCKS: usize = 6;

/// Between two locks.
const PAUSE: Duration = Duration::from_secs(1);

const WANTED_PER_S: f64 = 50.0;
const ORDERS_PER_S: f64 = 20.0;
const OTHERS_PER_S: f64 = 100.0;
const MOST_MS: f64 = 200.0;

/// Enough that orders which wait for the locked row don't hold back later arrivals.
const WAITING_CONNECTIONS: usize = 512;

const VARIANTS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(120);

/// Locks one row six times for so long, while 50 orders a second want it and other visitors do everything else.
pub(super) async fn lock_from_outside(town: &mut Town, held: Duration) -> Result<LimitResult> {
    town.set_delays(&ThirdParties::AT_ONCE).await?;
    town.start_worker("relay,consumers,upkeep").await?;
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 1, PLENTY).await?;
    let (wanted, other) = goods.variants.split_first().context("there are goods")?;
    let only = |variants: &[Uuid]| {
        Carts::of(Goods {
            variants: variants.to_vec(),
            lines: 1,
        })
    };
    let lasts = (held + PAUSE) * LOCKS as u32;
    let enough = |rate: f64| (rate * lasts.as_secs_f64() * 1.2) as usize + 100;
    let wanting = only(std::slice::from_ref(wanted))
        .orders(&mut town.monitor, enough(WANTED_PER_S))
        .await?;
    let ordering = only(other)
        .orders(&mut town.monitor, enough(ORDERS_PER_S))
        .await?;
    let mut pages = Pages::new(town, only(other)).await?;
    let visiting = pages.requests(town, &VISITORS, enough(OTHERS_PER_S)).await?;
    let target = town.shop().target();
    let stranger = PgConnection::connect(&town.api.database_url).await?;

    let ((), wanting, ordering, visiting) = tokio::try_join!(
        lock_again_and_again(stranger, *wanted, held),
        open_loop(&target, &wanting, WANTED_PER_S, lasts, WAITING_CONNECTIONS, 1),
        open_loop(&target, &ordering, ORDERS_PER_S, lasts, OTHERS_CONNECTIONS, 2),
        open_loop(&target, &visiting, OTHERS_PER_S, lasts, OTHERS_CONNECTIONS, 3),
    )?;
    // Orders that were put off leave nothing; those that began are done.
    let left = town.drain(PATIENCE).await?;
    expect_right_books(town, &goods, PLENTY).await?;

    let refused = ordering.errors.status_5xx() + visiting.errors.status_5xx();
    let broken = unanswered(&ordering) + unanswered(&visiting) + unanswered(&wanting);
    let slowest = others_p99_ms(&ordering).max(others_p99_ms(&visiting));
    let met = refused + broken == 0 && slowest <= MOST_MS && left == 0;
    let what = format!(
        "p99 of orders of other SKUs and of all other routes while a stranger locks a SKU {LOCKS} times for {} s and \
         {WANTED_PER_S:.0} orders/s want it",
        held.as_secs()
    );
    let mut result = LimitResult::new(
        "lock_from_outside",
        what,
        "at most 200 ms, 0 × 5xx",
        slowest,
        "ms",
        met,
    );
    result.details = vec![
        ("orders_5xx".to_owned(), ordering.errors.status_5xx() as f64),
        ("orders_p99_ms".to_owned(), others_p99_ms(&ordering)),
        ("others_5xx".to_owned(), visiting.errors.status_5xx() as f64),
        ("others_4xx".to_owned(), visiting.errors.status_4xx() as f64),
        ("others_p99_ms".to_owned(), others_p99_ms(&visiting)),
        ("unanswered".to_owned(), broken as f64),
        ("wanted_answered".to_owned(), wanting.completed as f64),
        ("wanted_5xx".to_owned(), wanting.errors.status_5xx() as f64),
        ("wanted_4xx".to_owned(), wanting.errors.status_4xx() as f64),
        ("left".to_owned(), left as f64),
    ];
    for (who, outcome) in [("orders", &ordering), ("others", &visiting), ("wanted", &wanting)] {
        let failures = failures(outcome).into_iter();
        result
            .details
            .extend(failures.map(|(name, count)| (format!("{who}_{name}"), count as f64)));
    }
    Ok(result)
}

async fn lock_again_and_again(mut stranger: PgConnection, variant: Uuid, held: Duration) -> Result<()> {
    for _ in 0..LOCKS {
        let mut transaction = stranger.begin().await?;
        sqlx::query(AssertSqlSafe(format!(
            "select id from variants where id = $1 for update {LAB_MARK}"
        )))
        .bind(variant)
        .fetch_one(&mut *transaction)
        .await?;
        tokio::time::sleep(held).await;
        transaction.rollback().await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
