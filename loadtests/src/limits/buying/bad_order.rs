//! One order that can't be settled among many that can: it must not be the end of the round.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::fault::Fault;
use crate::costs::LAB_MARK;
use crate::limits::LimitResult;
use crate::load::fetch;
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town};

const ORDERS: usize = 200;
const VARIANTS: usize = 16;
const MOST_S: f64 = 60.0;
const POLL: Duration = Duration::from_millis(100);

/// How long is waited for those that are late.
const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds until all orders but the bad one are settled. The gateway holds the money of each, but its answers were lost; every
/// request about the oldest fails.
pub(super) async fn one_bad_order(town: &mut Town, fault: &Fault) -> Result<LimitResult> {
    town.set_delays(&ThirdParties::AT_ONCE).await?;
    fault.forward_to(town.simulators.payment_address());
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 1, PLENTY).await?;
    let mut carts = Carts::of(goods);
    for request in carts.orders(&mut town.monitor, ORDERS).await?.iter() {
        let answer = fetch(&town.shop().target(), request).await?;
        ensure!(answer.status == 201, "an order was answered {}", answer.status);
    }
    let bad = forget_their_payments(town).await?;
    fault.refuse(&bad.to_string());

    let begun = Instant::now();
    town.start_worker("upkeep").await?;
    let others = loop {
        let (others, bad_too) = unsettled(town, bad).await?;
        ensure!(
            bad_too == 1,
            "the order whose payment can't be looked up was settled"
        );
        if others == 0 || begun.elapsed() > PATIENCE {
            break others;
        }
        tokio::time::sleep(POLL).await;
    };
    let elapsed = begun.elapsed().as_secs_f64();
    ensure!(
        fault.refused() > 0,
        "the worker never asked for the bad order: nothing was shown"
    );
    let what = format!(
        "until {} orders are settled, whose gateway can't say anything of one more",
        ORDERS - 1
    );
    let met = others == 0 && elapsed <= MOST_S;
    let mut result = LimitResult::new("one_bad_order", what, "at most 60 s", elapsed, "s", met);
    result.details = vec![
        ("left".to_owned(), others as f64),
        ("asked_for_the_bad_one".to_owned(), fault.refused() as f64),
    ];
    Ok(result)
}

/// As if the api had ended before it heard of any payment. The oldest order is the bad one.
async fn forget_their_payments(town: &mut Town) -> Result<Uuid> {
    let since = town.since;
    for sql in [
        "delete from order_events where order_id > $1 and event = 'paid'",
        "delete from outbox where (body ->> 'order_id')::uuid > $1",
        "update orders set status = 'pending_payment', payment_id = null,
             reserved_until = now() - interval '1 minute' + (row_number - 1) * interval '1 millisecond'
         from (select id as numbered, row_number() over (order by id) from orders where id > $1) n
         where orders.id = n.numbered",
    ] {
        sqlx::query(AssertSqlSafe(format!("{sql} {LAB_MARK}")))
            .bind(since)
            .execute(&mut town.monitor)
            .await?;
    }
    sqlx::query_scalar(AssertSqlSafe(format!(
        "select id from orders where id > $1 order by id limit 1 {LAB_MARK}"
    )))
    .bind(since)
    .fetch_one(&mut town.monitor)
    .await
    .context("orders were placed")
}

/// How many of the others, and of the bad one, are not settled.
async fn unsettled(town: &mut Town, bad: Uuid) -> Result<(i64, i64)> {
    Ok(sqlx::query_as(AssertSqlSafe(format!(
        "select count(*) filter (where id <> $2), count(*) filter (where id = $2) from orders \
         where id > $1 and status = 'pending_payment' {LAB_MARK}"
    )))
    .bind(town.since)
    .bind(bad)
    .fetch_one(&mut town.monitor)
    .await?)
}
