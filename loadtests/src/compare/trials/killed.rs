//! Events through deaths: which paid orders nobody ever heard of, and which were heard of twice.
//!
//! The moment of death is made, not hit: the way to the broker swallows what is sent (or what is answered), the orders
//! are paid, and then api and worker are killed, as a machine dies whose network went first. Clients ask again with the
//! keys that they used.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tcp_proxy::Direction;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::rush::ask_all;
use super::{Arm, Run, outcome, plenty};
use crate::costs::LAB_MARK;
use crate::lessons::Trial;
use crate::load::{Request, Target, fetch};
use crate::trials::{Carts, Heard, Tap, Town};

/// How long a moment is waited for: until all orders are paid, until the broker has all events, until the outbox is
/// empty.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked for.
const POLL: Duration = Duration::from_millis(5);

/// Between deaths under load: long enough to be up again and at work.
const BETWEEN_KILLS: Duration = Duration::from_millis(600);

/// Before a client asks again whom nobody answered.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Kills at a moment that is made.
pub(super) async fn killed(
    trial: &Trial,
    blackhole: Direction,
    rounds: usize,
    orders: usize,
    arms: &mut [Arm],
    run: &mut Run,
) -> Result<()> {
    run.report.parameters.insert("kills".into(), json!(rounds));
    run.report
        .parameters
        .insert("orders_in_flight_at_each".into(), json!(orders));
    for (position, arm) in arms.iter_mut().enumerate() {
        let mut carts = plenty(arm, trial).await?;
        let tap = Tap::start(&arm.town.amqp_url).await?;
        tap.drain().await?;
        arm.town.since = Uuid::now_v7();
        let mut answered_again = 0;
        for _ in 0..rounds {
            answered_again += round(arm, &mut carts, &tap, trial, blackhole, orders).await?;
        }
        outcome(
            &mut run.report,
            position,
            "answered_when_asked_again",
            answered_again,
        );
        settle(arm, position, &carts, &tap, run).await?;
    }
    Ok(())
}

/// One death. How many clients got their order when they asked again.
async fn round(
    arm: &mut Arm,
    carts: &mut Carts,
    tap: &Tap,
    trial: &Trial,
    blackhole: Direction,
    orders: usize,
) -> Result<i64> {
    let town = &mut arm.town;
    // Whoever publishes has its connection and has used it.
    let first = carts.orders(&mut town.monitor, 1).await?;
    let before = tap.waiting().await?;
    let answer = fetch(&town.shop().target(), &first[0]).await?;
    ensure!(
        answer.status == 201,
        "{}: an order was answered {}",
        arm.name,
        answer.status
    );
    ensure!(
        tap.wait_for(before + 1, PATIENCE).await?,
        "{}: an event was lost before anything was killed",
        arm.name
    );
    // The queue shows a message before its publisher has the confirmation. A confirmation that was still on its way
    // would be swallowed, and the relay would wait for it instead of publishing the orders.
    town.wait_until_said(PATIENCE).await?;

    let made = carts.make(&mut town.monitor, orders).await?;
    let ids: Vec<Uuid> = made.iter().map(|cart| cart.id).collect();
    let requests: Vec<Request> = made
        .iter()
        .map(|cart| cart.order("tok_ok"))
        .collect::<Result<_>>()?;
    // A relay that publishes as soon as the first order is paid would wait for that confirmation, and not say the rest.
    if let Some(worker) = &town.worker {
        worker.pause();
    }
    town.broker_proxy.blackhole(blackhole);
    let (target, in_flight) = (town.shop().target(), requests.clone());
    let calls = tokio::spawn(async move { ask_all(&target, &in_flight, orders).await });
    wait_until_paid(town, &ids).await?;
    if let Some(worker) = &town.worker {
        worker.resume();
    }
    if blackhole == Direction::Responses {
        let all = before + 1 + u32::try_from(orders)?;
        ensure!(
            tap.wait_for(all, PATIENCE).await?,
            "{}: the broker received {} of {all} events within {PATIENCE:?}",
            arm.name,
            tap.waiting().await?
        );
    }
    town.kill();
    town.broker_proxy.restore()?;
    calls.await.context("the buyers' task has failed")?;
    town.start_api().await?;
    town.start_worker(trial.worker).await?;
    let again = ask_all(&town.shop().target(), &requests, orders).await;
    let answered = again.get(&201).copied().unwrap_or(0);
    ensure!(
        answered == orders as i64,
        "{}: after the restart {orders} orders were answered {again:?}",
        arm.name
    );
    town.wait_until_said(PATIENCE).await?;
    Ok(answered)
}

async fn wait_until_paid(town: &mut Town, carts: &[Uuid]) -> Result<()> {
    let begun = tokio::time::Instant::now();
    loop {
        let paid: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "select count(*) from orders where cart_id = any($1) and status <> 'pending_payment' {LAB_MARK}"
        )))
        .bind(carts)
        .fetch_one(&mut town.monitor)
        .await?;
        if paid == carts.len() as i64 {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!("{paid} of {} orders were paid within {PATIENCE:?}", carts.len());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Kills while buyers keep coming, at moments that are the same for all arms, though not for the orders in flight.
pub(super) async fn under_load(
    trial: &Trial,
    clients: usize,
    kills: usize,
    arms: &mut [Arm],
    run: &mut Run,
) -> Result<()> {
    /// More than a client buys.
    const CARTS_A_CLIENT: usize = 600;
    run.report.parameters.insert("kills".into(), json!(kills));
    run.report.parameters.insert("clients".into(), json!(clients));
    for (position, arm) in arms.iter_mut().enumerate() {
        let mut carts = plenty(arm, trial).await?;
        let tap = Tap::start(&arm.town.amqp_url).await?;
        tap.drain().await?;
        arm.town.since = Uuid::now_v7();
        let requests = carts
            .orders(&mut arm.town.monitor, clients * CARTS_A_CLIENT)
            .await?;
        let (open, doors) = watch::channel(Some(arm.town.shop().target()));
        let (close, closed) = watch::channel(false);
        let mut buyers = JoinSet::new();
        for client in 0..clients {
            let mine = client * CARTS_A_CLIENT..(client + 1) * CARTS_A_CLIENT;
            buyers.spawn(buy(Arc::clone(&requests), mine, doors.clone(), closed.clone()));
        }
        for _ in 0..kills {
            // No race: whatever is in flight when this is over is what the trial is about.
            tokio::time::sleep(BETWEEN_KILLS).await;
            open.send_replace(None);
            arm.town.kill();
            arm.town.start_api().await?;
            arm.town.start_worker(trial.worker).await?;
            open.send_replace(Some(arm.town.shop().target()));
        }
        tokio::time::sleep(BETWEEN_KILLS).await;
        close.send_replace(true);
        while let Some(buyer) = buyers.join_next().await {
            buyer.context("a buyer's task has failed")?;
        }
        arm.town.wait_until_said(PATIENCE).await?;
        settle(arm, position, &carts, &tap, run).await?;
    }
    Ok(())
}

/// One client, who asks again with the same key as long as nobody answers. 409 is an answer: the order that died with
/// its process is settled by the worker's upkeep, later than this trial lasts.
async fn buy(
    requests: Arc<[Request]>,
    mine: std::ops::Range<usize>,
    mut doors: watch::Receiver<Option<Target>>,
    closed: watch::Receiver<bool>,
) {
    for request in &requests[mine] {
        loop {
            if *closed.borrow() {
                return;
            }
            let Ok(target) = doors.wait_for(Option::is_some).await.map(|target| target.clone()) else {
                return;
            };
            let target = target.expect("it was waited for");
            match fetch(&target, request).await {
                Ok(answer) if !answer.status.is_server_error() => break,
                // No race: nothing depends on how long it is.
                _ => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }
}

/// Holds what was heard against what was paid.
async fn settle(arm: &mut Arm, position: usize, carts: &Carts, tap: &Tap, run: &mut Run) -> Result<()> {
    let heard: Heard = tap.drain().await?;
    let paid: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(format!(
        "select id from orders where id > $1 and status in ('paid', 'fulfilled', 'delivered') {LAB_MARK}"
    )))
    .bind(arm.town.since)
    .fetch_all(&mut arm.town.monitor)
    .await?;
    let lost = paid
        .iter()
        .filter(|order| !heard.orders.contains_key(order))
        .count();
    let untrue = heard.orders.keys().filter(|order| !paid.contains(order)).count();
    for (name, value) in [
        ("orders_paid", paid.len()),
        ("lost", lost),
        ("doubled", heard.doubled()),
        ("doubled_under_another_id", heard.doubled_under_another_id()),
        ("heard_but_not_paid", untrue),
    ] {
        outcome(&mut run.report, position, name, value);
    }
    let books = arm.town.books(carts.goods()).await?;
    if let Some(fault) = books.violated() {
        run.violated.get_or_insert(format!("{}: {fault}", arm.name));
    }
    if arm.name == "outbox" && (lost > 0 || untrue > 0) {
        run.violated.get_or_insert(format!(
            "outbox lost {lost} events, and told of {untrue} orders that are not paid"
        ));
    }
    Ok(())
}
