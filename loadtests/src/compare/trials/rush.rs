//! What is counted after a run: units sold that never were, and orders that were never done.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{Arm, Run, carts, outcome, plenty};
use crate::lessons::{Plan, Trial};
use crate::load::{Request, Target, fetch};
use crate::trials::done_times;

/// How long the work that an outage left may take afterwards: all retries of a message.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(60);

/// So many buyers of so few units, so many of them at a time. Each buyer comes once.
pub(super) async fn rush(
    plan: &Plan,
    units: i32,
    buyers: usize,
    clients: usize,
    arms: &mut [Arm],
    run: &mut Run,
) -> Result<()> {
    let parameters = &mut run.report.parameters;
    parameters.insert("units".into(), json!(units));
    parameters.insert("buyers".into(), json!(buyers));
    parameters.insert("clients".into(), json!(clients));
    for (position, arm) in arms.iter_mut().enumerate() {
        let mut carts = carts(arm, 1, units).await?;
        let requests = carts.orders(&mut arm.town.monitor, buyers).await?;
        let before = arm.town.books(carts.goods()).await?.deadlocks;
        arm.town.since = uuid::Uuid::now_v7();
        let begun = std::time::Instant::now();
        let answers = ask_all(&arm.town.shop().target(), &requests, clients).await;
        let took_s = begun.elapsed().as_secs_f64();
        let books = arm.town.books(carts.goods()).await?;
        let of = |status: u16| answers.get(&status).copied().unwrap_or(0);
        let units = i64::from(units);
        let oversold = books.oversold(units);
        for (name, value) in [
            ("units_sold", books.units_paid),
            ("oversold", oversold),
            ("units_left", books.units_left),
            ("units_miscounted", books.miscounted(units)),
            ("deadlocks", books.deadlocks - before),
            ("answered_201", of(201)),
            ("answered_409", of(409)),
            ("answered_503", of(503)),
            ("no_answer", of(0)),
        ] {
            outcome(&mut run.report, position, name, value);
        }
        outcome(
            &mut run.report,
            position,
            "sales_per_s",
            books.paid as f64 / took_s,
        );
        let promises = arm.name != plan.lesson.baseline;
        if promises && (oversold > 0 || books.miscounted(units) != 0) {
            run.violated
                .get_or_insert(format!("{} sold {} of {units} units", arm.name, books.units_paid));
        }
        if let Some(fault) = books.violated() {
            run.violated.get_or_insert(format!("{}: {fault}", arm.name));
        }
    }
    Ok(())
}

/// The mail server refuses while orders are placed. It works again, and so do those that try again.
pub(super) async fn mail_outage(trial: &Trial, orders: usize, arms: &mut [Arm], run: &mut Run) -> Result<()> {
    run.report.parameters.insert("orders".into(), json!(orders));
    for (position, arm) in arms.iter_mut().enumerate() {
        let mut carts = plenty(arm, trial).await?;
        let requests = carts.orders(&mut arm.town.monitor, orders).await?;
        arm.town.since = uuid::Uuid::now_v7();
        let mails_before = arm.town.simulators.mails().await?;
        arm.town.simulators.set_mail_refuses(true).await?;
        let answers = ask_all(&arm.town.shop().target(), &requests, orders).await;
        ensure!(
            answers.get(&201) == Some(&(orders as i64)),
            "{}: orders were answered {answers:?} while the mail server was away",
            arm.name
        );
        arm.town.simulators.set_mail_refuses(false).await?;
        // Nobody tries again in the arm that did it in the request: its patience ends in vain.
        let patience = if arm.name == "inline" {
            Duration::ZERO
        } else {
            RECOVERY_PATIENCE
        };
        arm.town.drain(patience).await?;
        let times = done_times(&mut arm.town.monitor, arm.town.since).await?;
        let mails = arm.town.simulators.mails().await? - mails_before;
        outcome(&mut run.report, position, "orders_never_done", times.undone);
        outcome(&mut run.report, position, "mails_sent", mails);
        outcome(
            &mut run.report,
            position,
            "mails_never_sent",
            (orders as u64).saturating_sub(mails),
        );
        outcome(&mut run.report, position, "done_s_last", times.last_s());
        let books = arm.town.books(carts.goods()).await?;
        if let Some(fault) = books.violated() {
            run.violated.get_or_insert(format!("{}: {fault}", arm.name));
        }
    }
    Ok(())
}

/// Sends each request once, so many at a time, each on a connection of its own. Answers by status; 0 is none.
pub(super) async fn ask_all(target: &Target, requests: &[Request], at_a_time: usize) -> BTreeMap<u16, i64> {
    let statuses = stream::iter(requests.iter().cloned()).map(|request| async move {
        let answer = fetch(target, &request).await;
        answer.map_or(0, |answer| answer.status.as_u16())
    });
    let mut counted = BTreeMap::new();
    let mut statuses = statuses.buffer_unordered(at_a_time);
    while let Some(status) = statuses.next().await {
        *counted.entry(status).or_default() += 1;
    }
    counted
}
