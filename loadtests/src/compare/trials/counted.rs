//! The counted pass: orders one after the other, without a worker, and what each costs exactly.

use std::time::Duration;

use anyhow::{Result, ensure};
use tcp_proxy::Proxy;

use super::{Arm, carts};
use crate::costs::{StatementCost as Statement, Statements};
use crate::lessons::Observation;
use crate::load::{Request, fetch};
use crate::report::{Cost, StatementCost};
use crate::shop::Shop;
use crate::trials::{PLENTY, Tap, ThirdParties};

/// Orders that are counted, after as many as the pool has connections, so that each has prepared its statements.
const COUNTED: usize = 20;
const PREPARING: usize = 10;

/// Different variants in stock.
const VARIANTS: usize = 16;

/// A connection that is given back to the pool makes one more exchange after the answer. It is waited for, since it is
/// counted as well; so is the relay's wake-up, which comes within this time.
const AFTER_THE_ANSWER: Duration = Duration::from_millis(50);

/// Counts what an order costs an arm. The third parties answer at once, and nobody works off what it says.
pub(super) async fn count(arm: &mut Arm) -> Result<Observation> {
    arm.town.set_delays(&ThirdParties::AT_ONCE).await?;
    let mut carts = carts(arm, VARIANTS, PLENTY).await?;
    let proxy = Proxy::in_front_of(&arm.town.api.database_url, Duration::ZERO)?;
    let mut settings = arm.town.api.clone();
    settings.database_url = proxy.through(&settings.database_url)?;
    settings.log_path.set_extension("counted.log");
    let shop = Shop::start(settings).await?;
    let tap = Tap::start(&arm.town.amqp_url).await?;
    let monitor = &mut arm.town.monitor;
    let requests = carts.orders(monitor, PREPARING + COUNTED).await?;
    let (preparing, counted) = requests.split_at(PREPARING);
    place(&shop, arm.name, preparing).await?;

    let mails_before = arm.town.simulators.mails().await?;
    let (unsaid_before, heard_before) = (arm.town.unsaid().await?, tap.waiting().await?);
    let statements_before = Statements::snapshot(&mut arm.town.monitor).await?;
    let wire_before = proxy.counters();
    let bytes = place(&shop, arm.name, counted).await?;
    let wire = proxy.counters().since(&wire_before);
    let statements_after = Statements::snapshot(&mut arm.town.monitor).await?;
    let mut costs = Statements::delta(&statements_before, &statements_after)?;
    // Waking the relay is done at most so often, whatever the orders: no part of one.
    costs.statements.retain(|cost| !cost.query.starts_with("notify"));
    let sum = |read: fn(&Statement) -> i64| costs.statements.iter().map(read).sum::<i64>() as f64;
    let mails = arm.town.simulators.mails().await? - mails_before;
    let unsaid = arm.town.unsaid().await? - unsaid_before;
    let heard = tap.waiting().await? - heard_before;
    shop.stop().await?;
    tap.remove().await?;

    let each = |count: f64| count / COUNTED as f64;
    let mut seen = Observation {
        requests: COUNTED as u64,
        cost: Cost {
            queries_per_request: Some(each(sum(|cost| cost.calls))),
            rows_per_request: Some(each(sum(|cost| cost.rows))),
            buffers_per_request: Some(each(sum(|cost| cost.buffers))),
            round_trips_per_request: Some(each(wire.round_trips as f64)),
            response_bytes: Some(each(bytes as f64)),
            postgres_bytes: Some(each(wire.bytes_to_client as f64)),
            wal_bytes: Some(each(sum(|cost| cost.wal_bytes))),
            redis_bytes: None,
            request_bytes: None,
        },
        ..Observation::default()
    };
    seen.statements = costs
        .statements
        .iter()
        .map(|cost| StatementCost {
            text: cost.query.clone(),
            calls_per_request: each(cost.calls as f64),
            rows_per_request: each(cost.rows as f64),
            buffers_per_request: each(cost.buffers as f64),
            plan: None,
            no_plan_because: None,
        })
        .collect();
    seen.counted.insert("mails_in_the_request", each(mails as f64));
    seen.counted.insert("outbox_rows", each(unsaid as f64));
    seen.counted
        .insert("published_in_the_request", each(f64::from(heard)));
    Ok(seen)
}

/// One after the other. Bytes of the answers.
async fn place(shop: &Shop, arm: &str, requests: &[Request]) -> Result<usize> {
    let mut bytes = 0;
    for request in requests {
        let answer = fetch(&shop.target(), request).await?;
        ensure!(
            answer.status == 201,
            "{arm}: an order was answered {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        bytes += answer.body.len();
    }
    tokio::time::sleep(AFTER_THE_ANSWER).await;
    Ok(bytes)
}
