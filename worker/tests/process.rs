//! The life of a worker process: it waits for its dependencies, becomes ready, shuts down gracefully, and
//! reports invalid settings.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use child_process::ChildProcess;
use tcp_proxy::Proxy;

use crate::support::{TestDatabase, servers};

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn worker(database_url: &str, amqp_url: &str, internal: SocketAddr) -> Command {
    let mut command = child_process::command(Path::new(env!("CARGO_BIN_EXE_backstock-worker")));
    command
        .env_clear()
        .env("BACKSTOCK_DATABASE_URL", database_url)
        .env("BACKSTOCK_AMQP_URL", amqp_url)
        .env("BACKSTOCK_INTERNAL_LISTEN", internal.to_string());
    command
}

/// A worker that fails before it connects, so its dependencies don't exist.
pub fn worker_without_stores() -> Command {
    let unused_address = free_address();
    let (database_url, amqp_url) = (
        format!("postgres://{unused_address}/shop"),
        format!("amqp://{unused_address}/%2f"),
    );
    worker(&database_url, &amqp_url, free_address())
}

/// Runs a command until it exits. Returns its exit code and stderr.
pub async fn run_to_exit(command: Command) -> (Option<i32>, String) {
    let output = child_process::run(command).await;
    (output.code, output.stderr)
}

fn start(command: Command) -> ChildProcess {
    ChildProcess::start_captured("the worker", command).unwrap()
}

async fn line_with(worker: &mut ChildProcess, text: &str) -> String {
    worker.next_line(|line| line.contains(text)).await.unwrap()
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_worker_becomes_ready_and_shuts_down_gracefully_on_sigterm() {
    let database = TestDatabase::new().await;
    let internal = free_address();
    let mut child = start(worker(&database.url, &servers().amqp_url("/"), internal));
    line_with(&mut child, "working").await;

    assert_eq!(get(internal, "/livez").await.0, 200);
    let (status, ready) = get(internal, "/readyz").await;
    assert!(
        status == 200 && ready.contains(r#""rabbitmq":"up""#),
        "{status} {ready}"
    );
    assert_eq!(get(internal, "/metrics").await.0, 200);

    child.terminate();
    line_with(&mut child, "stopped").await;
    assert!(child.exited().await.success());
    database.drop().await;
}

#[tokio::test]
async fn a_worker_waits_for_the_broker_and_logs_it() {
    let database = TestDatabase::new().await;
    let internal = free_address();
    let real = servers().amqp_url("/");
    let broker = Proxy::in_front_of(&real, Duration::ZERO).unwrap();
    let amqp_url = broker.through(&real).unwrap();
    broker.cut();
    let mut child = start(worker(&database.url, &amqp_url, internal));
    for _ in 0..2 {
        let line = line_with(&mut child, "waiting to start").await;
        assert!(line.contains(r#"waiting_for="rabbitmq""#), "{line}");
        assert!(line.contains("BACKSTOCK_AMQP_URL"), "{line}");
    }
    assert_eq!(get(internal, "/livez").await.0, 200);
    let (status, ready) = get(internal, "/readyz").await;
    assert!(
        status == 503 && ready.contains(r#""failing":"rabbitmq""#),
        "{status} {ready}"
    );

    broker.restore().unwrap();
    line_with(&mut child, "working").await;
    assert_eq!(get(internal, "/readyz").await.0, 200);
    child.terminate();
    line_with(&mut child, "stopped").await;
    assert!(child.exited().await.success());
    database.drop().await;
}

#[tokio::test]
async fn a_worker_that_is_waiting_stops_immediately() {
    let internal = free_address();
    let unused_address = free_address();
    let database_url = format!("postgres://shop:secret@{unused_address}/shop");
    let mut child = start(worker(&database_url, &servers().amqp_url("/"), internal));
    let line = line_with(&mut child, "waiting to start").await;
    assert!(line.contains(r#"waiting_for="postgres""#), "{line}");
    assert!(!line.contains("secret"), "{line}");
    child.terminate();
    line_with(&mut child, "stopped during startup").await;
    assert!(child.exited().await.success());
}

#[tokio::test]
async fn a_worker_does_not_retry_permanent_connection_errors() {
    let database = TestDatabase::new().await;
    let amqp_url = servers().amqp_url("/");
    let real_address = amqp_url.rsplit('@').next().unwrap();
    let stranger = format!("amqp://stranger:secret@{real_address}");
    let (code, stderr) = run_to_exit(worker(&database.url, &stranger, free_address())).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("can't use the RabbitMQ at BACKSTOCK_AMQP_URL"),
        "{stderr}"
    );
    assert!(!stderr.contains("stranger:secret"), "{stderr}");

    let nowhere = servers().amqp_url("of-unused_address");
    let (code, stderr) = run_to_exit(worker(&database.url, &nowhere, free_address())).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("can't use the RabbitMQ at BACKSTOCK_AMQP_URL"),
        "{stderr}"
    );
    database.drop().await;
}

#[tokio::test]
async fn a_worker_rejects_an_incompatible_schema() {
    let amqp_url = servers().amqp_url("/");
    let (code, stderr) = run_to_exit(worker(
        &servers().database_url("postgres"),
        &amqp_url,
        free_address(),
    ))
    .await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("run `backstock-api migrate` first"), "{stderr}");
    let database = TestDatabase::new().await;
    database
        .execute("insert into _sqlx_migrations select 29990101000000, 'later', now(), true, '', 0")
        .await;
    let (code, stderr) = run_to_exit(worker(&database.url, &amqp_url, free_address())).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("newer than this build: it has migration 29990101000000"),
        "{stderr}"
    );
    database
            .execute("delete from _sqlx_migrations where version >= (select max(version) from _sqlx_migrations where version < 29990101000000)")
            .await;
    let (code, stderr) = run_to_exit(worker(&database.url, &amqp_url, free_address())).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("older than this build"), "{stderr}");
    database.drop().await;
}

#[tokio::test]
async fn all_invalid_settings_are_reported_with_the_allowed_values() {
    let mut command = worker_without_stores();
    command
        .env("BACKSTOCK_RETRY_DELAYS_MS", "1000,soon")
        .env("BACKSTOCK_PARTS", "relay,everything");
    let (code, stderr) = run_to_exit(command).await;
    assert_eq!(code, Some(2), "{stderr}");
    for (name, allowed) in [
        ("BACKSTOCK_RETRY_DELAYS_MS", "from 1 to 600000"),
        ("BACKSTOCK_PARTS", "upkeep"),
    ] {
        assert!(
            stderr.contains(name) && stderr.contains(allowed),
            "{name}: {stderr}"
        );
    }
}

#[tokio::test]
async fn all_contradicting_settings_are_reported() {
    let contradictions = [
        (
            "BACKSTOCK_EMAIL_CLAIM_MS",
            "10999",
            "BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS",
        ),
        ("BACKSTOCK_VOID_GRACE_MS", "5000", "BACKSTOCK_PAYMENT_TIMEOUT_MS"),
    ];
    for (setting, value, other) in contradictions {
        let mut command = worker_without_stores();
        command.env(setting, value);
        let (code, stderr) = run_to_exit(command).await;
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(setting) && stderr.contains(other), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let mut command = worker_without_stores();
    command.envs(contradictions.map(|(setting, value, _)| (setting, value)));
    let (code, stderr) = run_to_exit(command).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
}
