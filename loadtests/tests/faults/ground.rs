//! Where the faults happen: servers, and a town that settles and tries again soon.

use std::path::{Path, PathBuf};
use std::process::Command;

use hyper::Uri;
use loadtests::database::ensure_template;
use loadtests::generate::{DEFAULT_SEED, Scale};
use loadtests::load::{Request, Target, fetch};
use loadtests::trials::{Place, Simulators, Town, TownSettings};
use local_services::{Purpose, Services};
use serde_json::Value;

/// What was begun is free again soon, what failed is tried again soon, and what nobody paid is settled soon.
const IMPATIENT: [(&str, &str); 6] = [
    ("BACKSTOCK_SMTP_TIMEOUT_MS", "1000"),
    ("BACKSTOCK_EMAIL_CLAIM_MS", "2000"),
    ("BACKSTOCK_RETRY_DELAYS_MS", "500,1000,2000"),
    ("BACKSTOCK_CONCURRENCY", "4"),
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

/// The real api, with the worker and the simulators beside it. They are other crates': a run of all tests has built them,
/// a run of this crate's may have not.
fn api_binary() -> PathBuf {
    let api = Path::new(env!("CARGO_BIN_EXE_backstock-lab")).with_file_name("backstock-api");
    let beside = ["backstock-api", "backstock-worker", "backstock-simulators"];
    if beside.iter().any(|name| !api.with_file_name(name).exists()) {
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "-p",
                "api",
                "-p",
                "worker",
                "-p",
                "simulators",
            ])
            .arg("--manifest-path")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
            .status();
        assert!(built.unwrap().success());
    }
    api
}

/// The servers, started where they don't run.
pub async fn services() -> Services {
    tokio::task::spawn_blocking(|| Services::start(Purpose::Tests))
        .await
        .unwrap()
        .unwrap()
}

/// A town of 1,000 products, without a worker.
pub async fn town(services: &Services, number: u8, variants: &str) -> Town {
    let api_binary = api_binary();
    let server_url = services.database_url("postgres");
    let template = ensure_template(&server_url, &api_binary, Scale::Xs, DEFAULT_SEED, "chosen")
        .await
        .unwrap();
    let logs = std::env::temp_dir().join(format!("backstock-faults-{}", std::process::id()));
    let place = Place {
        services,
        api_binary: &api_binary,
        logs: &logs,
    };
    let settings = TownSettings {
        name: format!("faults-{number}"),
        number,
        variants: variants.to_owned(),
        template,
        environment: [IMPATIENT.as_slice(), &HASTY]
            .concat()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    Town::build(place, settings).await.unwrap()
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
