//! An order against Postgres alone: how much of what the database can do with its statements a service leaves.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use hyper::header::HeaderName;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::expect_right_books;
use super::order_script::{self, Tapped};
use crate::costs::LAB_MARK;
use crate::limits::{LimitResult, StatementTap, Turns};
use crate::load::{Request, closed_loop, fetch};
use crate::shop::Shop;
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town};

const LEAST_SHARE: f64 = 0.4;

/// Different variants that are bought.
const VARIANTS: usize = 64;

/// After so many orders each connection of the pool has prepared its statements.
const PREPARING: usize = 16;

/// More orders a second than any machine of these days takes with two cores.
const MOST_PER_S: f64 = 4_000.0;

/// Closed-loop orders a second ÷ transactions a second of `pgbench -M prepared` with the statements of an order, both with
/// the server's durability. Payments take no time, carts are there, no worker works.
pub(super) async fn checkout_against_pgbench(
    town: &mut Town,
    pgbench: &Path,
    turns: Turns,
) -> Result<LimitResult> {
    town.set_delays(&ThirdParties::AT_ONCE).await?;
    let durable: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select current_setting('fsync') || ' ' || current_setting('synchronous_commit') {LAB_MARK}"
    )))
    .fetch_one(&mut town.monitor)
    .await?;
    ensure!(
        durable == "on on",
        "fsync and synchronous_commit are {durable}: that is no durability"
    );
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 1, PLENTY).await?;
    let mut carts = Carts::of(goods.clone());
    let order = tap(town, &mut carts).await?;
    let statements = order.statements.len();
    let pgbench = order_script::pgbench(pgbench, &town.api.database_url, &order, &goods.variants)?;
    expect_right_books(town, &goods, PLENTY).await?;

    let Turns {
        slice, connections, ..
    } = turns;
    let target = town.shop().target();
    let enough = (MOST_PER_S * slice.as_secs_f64()) as usize;
    let mut paid = 0;
    let monitor = &mut town.monitor;
    let ours = async |seed| {
        let requests = carts.orders(monitor, enough).await?;
        let outcome = closed_loop(&target, &requests, connections, slice, seed).await?;
        ensure!(
            outcome.errors.total() == 0,
            "orders failed under load: {:?}",
            outcome.errors
        );
        ensure!(outcome.completed < enough as u64, "there were too few carts");
        paid += outcome.completed;
        Ok(outcome.throughput())
    };
    let rivalry = turns
        .take(ours, async |_| pgbench.run(connections, slice).await)
        .await?;

    let share = rivalry.ratio.value;
    let what = format!(
        "orders, payments at once, no worker ÷ pgbench -M prepared with the {statements} statements of an order, \
         {connections} connections, fsync on"
    );
    let met = share >= LEAST_SHARE;
    let mut result = LimitResult::new("checkout_against_pgbench", what, "at least 0.4", share, "", met);
    result.ci95 = Some(rivalry.ratio.ci95);
    result.limit = Some(rivalry.theirs);
    result.details.push(("orders_per_s".to_owned(), rivalry.ours));
    result.details.push(("orders".to_owned(), paid as f64));
    Ok(result)
}

/// An order, and what it made the api send to Postgres.
async fn tap(town: &mut Town, carts: &mut Carts) -> Result<Tapped> {
    let tap = StatementTap::start(&town.api.database_url).await?;
    let mut settings = town.api.clone();
    settings.database_url = tap.url().to_owned();
    settings.log_path.set_extension("tapped.log");
    let shop = Shop::start(settings).await?;
    for request in carts.orders(&mut town.monitor, PREPARING).await?.iter() {
        place(&shop, request).await?;
    }
    let cart = carts.make(&mut town.monitor, 1).await?.remove(0);
    let request = cart.order("tok_ok")?;
    let version: OffsetDateTime = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select updated_at from carts where id = $1 {LAB_MARK}"
    )))
    .bind(cart.id)
    .fetch_one(&mut town.monitor)
    .await?;
    tap.take()?;
    place(&shop, &request).await?;
    let mut statements = tap.take()?;
    // Waking the relay is another connection's, at most so often, and no part of an order.
    statements.retain(|run| !run.sql.starts_with("notify"));
    ensure!(!statements.is_empty(), "an order ran no statement");
    shop.stop().await?;
    let name = HeaderName::from_static("idempotency-key");
    let key = request.headers.iter().find(|(other, _)| *other == name);
    let (_, key) = key.context("an order is sent with a key")?;
    let (variant, product): (Uuid, Uuid) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select id, product_id from variants where id = (select variant_id from cart_items where cart_id = $1) {LAB_MARK}"
    )))
    .bind(cart.id)
    .fetch_one(&mut town.monitor)
    .await?;
    Ok(Tapped {
        statements,
        key: key.to_str()?.to_owned(),
        cart: cart.id,
        cart_version: version.format(&Rfc3339)?,
        variant,
        product,
    })
}

async fn place(shop: &Shop, request: &Request) -> Result<()> {
    let answer = fetch(&shop.target(), request).await?;
    ensure!(
        answer.status == 201,
        "an order was answered {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    Ok(())
}
