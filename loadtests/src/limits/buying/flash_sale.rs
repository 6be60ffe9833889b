//! Many buyers at once, few units.

use anyhow::{Context, Result};
use futures_util::future::join_all;
use hyper::StatusCode;
use serde_json::Value;
use std::time::Duration;

use crate::limits::LimitResult;
use crate::load::{Fetched, Request, Target, fetch};
use crate::trials::{Carts, Delay, Goods, ThirdParties, Town};

const BUYERS: usize = 2_000;
const UNITS: i32 = 100;

/// How often a buyer comes again who was told to.
const TRIES: u32 = 60;

/// A payment as banks take it.
const PAYMENTS: ThirdParties = ThirdParties {
    payment: Delay::of(120.0, 400.0),
    ..ThirdParties::AT_ONCE
};

/// What became of a buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Bought,
    SoldOut,
    /// Anything but the two: also a 503 without `retry-after`, and no answer.
    Unclean,
}

/// Exactly the units are paid, nothing is left, and everyone else gets a clean 409, also who was put off with a 503.
pub(super) async fn flash_sale(town: &mut Town) -> Result<LimitResult> {
    town.set_delays(&PAYMENTS).await?;
    let goods = Goods::choose(&mut town.monitor, 1, 1, UNITS).await?;
    let mut carts = Carts::of(goods.clone());
    let requests = carts.orders(&mut town.monitor, BUYERS).await?;
    let target = town.shop().target();
    let ends = join_all(requests.iter().map(|request| buy(&target, request))).await;
    let count = |end: End| ends.iter().filter(|(of, _)| *of == end).count();
    let put_off: u32 = ends.iter().map(|(_, put_off)| put_off).sum();
    let books = town.books(&goods).await?;
    let exact = books.paid == i64::from(UNITS) && books.units_left == 0 && books.violated().is_none();
    let clean = count(End::Unclean) == 0 && count(End::Bought) == UNITS as usize;
    let what =
        format!("paid orders when {BUYERS} buyers at once want {UNITS} units; everyone else is told so");
    let mut result = LimitResult::new(
        "flash_sale",
        what,
        "exactly 100, stock 0, else 409",
        books.paid as f64,
        "orders",
        exact && clean,
    );
    result.details = vec![
        ("answered_201".to_owned(), count(End::Bought) as f64),
        ("answered_409".to_owned(), count(End::SoldOut) as f64),
        ("unclean".to_owned(), count(End::Unclean) as f64),
        ("put_off_with_503".to_owned(), f64::from(put_off)),
        ("units_left".to_owned(), books.units_left as f64),
    ];
    Ok(result)
}

async fn buy(target: &Target, request: &Request) -> (End, u32) {
    let mut put_off = 0;
    for _ in 0..TRIES {
        let Ok(answer) = fetch(target, request).await else {
            return (End::Unclean, put_off);
        };
        let wait = match answer.status {
            StatusCode::CREATED => return (End::Bought, put_off),
            StatusCode::CONFLICT if code(&answer).as_deref() == Some("insufficient_stock") => {
                return (End::SoldOut, put_off);
            }
            StatusCode::SERVICE_UNAVAILABLE => retry_after(&answer),
            _ => None,
        };
        let Some(wait) = wait else {
            return (End::Unclean, put_off);
        };
        put_off += 1;
        tokio::time::sleep(wait).await;
    }
    (End::Unclean, put_off)
}

fn code(answer: &Fetched) -> Option<String> {
    let problem: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(problem.get("code")?.as_str()?.to_owned())
}

fn retry_after(answer: &Fetched) -> Option<Duration> {
    let seconds = answer.headers.get("retry-after")?.to_str().ok()?;
    let seconds = seconds.parse().context("retry-after is in seconds").ok()?;
    Some(Duration::from_secs(seconds))
}
