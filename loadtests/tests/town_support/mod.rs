//! Towns for tests.

use std::path::PathBuf;

use child_process::sibling_program;
use dataset::{DEFAULT_SEED, Scale};
use loadtests::database::ensure_template;
use loadtests::trials::{Place, Town, TownSettings};
use local_services::{Purpose, Services};

/// The real api, with the worker and the simulators beside it.
pub fn api_binary() -> PathBuf {
    let lab = env!("CARGO_BIN_EXE_backstock-lab");
    sibling_program(lab, "worker", "backstock-worker");
    sibling_program(lab, "simulators", "backstock-simulators");
    sibling_program(lab, "api", "backstock-api")
}

/// The servers, started where they don't run.
pub async fn services() -> Services {
    tokio::task::spawn_blocking(|| Services::start(Purpose::Tests))
        .await
        .unwrap()
        .unwrap()
}

#[allow(dead_code)] // Not every test binary builds towns.
/// A town of 1,000 products, without a worker. `environment` is that of api and worker.
pub async fn town(services: &Services, number: u8, variants: &str, environment: &[(&str, &str)]) -> Town {
    let api_binary = api_binary();
    let server_url = services.database_url("postgres");
    let template = ensure_template(&server_url, &api_binary, Scale::Xs, DEFAULT_SEED, "chosen")
        .await
        .unwrap();
    let logs = std::env::temp_dir().join(format!("backstock-towns-{}", std::process::id()));
    let place = Place {
        services,
        api_binary: &api_binary,
        logs: &logs,
    };
    let settings = TownSettings {
        name: format!("test-{number}"),
        number,
        variants: variants.to_owned(),
        template,
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        database_settings: Vec::new(),
        has_broker_proxy: true,
    };
    Town::build(place, settings).await.unwrap()
}
