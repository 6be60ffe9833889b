//! Where the faults happen: servers, and a town that settles and tries again soon.

use std::ops::Range;

use hyper::Uri;
use loadtests::load::{Request, Target, fetch};
use loadtests::trials::{Simulators, Town};
use local_services::Services;
use serde_json::Value;

use super::town_support;

/// What was begun is free again soon, what failed is tried again soon, and what nobody paid is settled soon.
const IMPATIENT: [(&str, &str); 7] = [
    ("BACKSTOCK_SMTP_TIMEOUT_MS", "1000"),
    ("BACKSTOCK_EMAIL_CLAIM_MS", "2000"),
    ("BACKSTOCK_RETRY_DELAYS_MS", "500,1000,2000"),
    ("BACKSTOCK_LABELS_IN_FLIGHT", "4"),
    ("BACKSTOCK_EMAILS_IN_FLIGHT", "4"),
    ("BACKSTOCK_SETTLE_INTERVAL_MS", "50"),
    ("BACKSTOCK_SETTLE_AGAIN_MS", "1000"),
];

/// How long an order is held for its payment, and how long the gateway is waited for: by the latter and
/// a margin a key is locked.
const HASTY: [(&str, &str); 3] = [
    ("BACKSTOCK_RESERVATION_MS", "3000"),
    ("BACKSTOCK_PAYMENT_TIMEOUT_MS", "2000"),
    ("BACKSTOCK_ORDER_MARGIN_MS", "500"),
];

/// All that a worker does.
pub const ALL_PARTS: &str = "relay,consumers,upkeep";

/// A town of 1,000 products, without a worker.
pub async fn town(services: &Services, number: u8, variants: &str) -> Town {
    town_support::town(
        services,
        number,
        variants,
        &[IMPATIENT.as_slice(), &HASTY].concat(),
    )
    .await
}

/// Runs a test with servers of its own, which it may kill.
pub fn with_own_servers(name: &str, ports: Range<u16>, test: impl Future<Output = ()>) {
    let test = || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.unwrap().block_on(test);
    };
    local_services::with_isolated_servers(name, ports, test).unwrap();
}

/// Where a third party is, by the setting that says so.
pub fn url_of(simulators: &Simulators, setting: &str) -> String {
    let environment = simulators.environment();
    let (_, url) = environment.into_iter().find(|(name, _)| name == setting).unwrap();
    url
}

/// What a third party counted.
pub async fn totals(simulators: &Simulators, setting: &str) -> Value {
    let uri: Uri = url_of(simulators, setting).parse().unwrap();
    let target = Target::new(uri.authority().unwrap().as_str().parse().unwrap());
    let answer = fetch(&target, &Request::get("/v1/totals").unwrap())
        .await
        .unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}
