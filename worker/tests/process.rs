//! The life of a worker process: it waits for its dependencies, becomes ready, shuts down gracefully, and
//! reports invalid settings.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::{TestDatabase, servers};

const WORKER: &str = env!("CARGO_BIN_EXE_backstock-worker");

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn worker(database_url: &str, amqp_url: &str, internal: SocketAddr) -> Command {
    let mut command = Command::new(WORKER);
    command
        .env_clear()
        .env("BACKSTOCK_DATABASE_URL", database_url)
        .env("BACKSTOCK_AMQP_URL", amqp_url)
        .env("BACKSTOCK_INTERNAL_LISTEN", internal.to_string())
        .stderr(Stdio::piped());
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

fn with_database<T>(test: impl AsyncFnOnce(&TestDatabase) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let database = TestDatabase::new().await;
        let ended = test(&database).await;
        database.drop().await;
        ended
    })
}

/// Runs a command until it exits. Returns its exit code and stderr.
pub fn run_to_exit(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Reads the log until a line contains the text, and returns that line. Panics at the log's end, so it never
/// hangs on a worker that died.
fn wait_for_line(log: &mut impl BufRead, text: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        if log.read_line(&mut line).unwrap() == 0 {
            panic!("the log ended without `{text}`:\n{seen}");
        }
        if line.contains(text) {
            return line;
        }
        seen.push_str(&line);
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn terminate(child: &Child) {
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
}

#[test]
fn a_worker_becomes_ready_and_shuts_down_gracefully_on_sigterm() {
    with_database(async |database| {
        let internal = free_address();
        let mut child = worker(&database.url, &servers().amqp_url("/"), internal)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        wait_for_line(&mut log, "working");

        assert!(get(internal, "/livez").starts_with("HTTP/1.1 200"));
        let ready = get(internal, "/readyz");
        assert!(
            ready.starts_with("HTTP/1.1 200") && ready.contains(r#""rabbitmq":"up""#),
            "{ready}"
        );
        assert!(get(internal, "/metrics").starts_with("HTTP/1.1 200"));

        terminate(&child);
        wait_for_line(&mut log, "stopped");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_worker_waits_for_the_broker_and_logs_it() {
    with_database(async |database| {
        let (internal, broker) = (free_address(), free_address());
        let real = servers().amqp_url("/");
        let (credentials, rest) = real.split_once('@').unwrap();
        let (real_address, vhost) = rest.split_once('/').unwrap();
        let amqp_url = format!("{credentials}@{broker}/{vhost}");
        let mut child = worker(&database.url, &amqp_url, internal).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        for _ in 0..2 {
            let line = wait_for_line(&mut log, "waiting to start");
            assert!(line.contains(r#"waiting_for="rabbitmq""#), "{line}");
            assert!(line.contains("BACKSTOCK_AMQP_URL"), "{line}");
        }
        assert!(get(internal, "/livez").starts_with("HTTP/1.1 200"));
        let ready = get(internal, "/readyz");
        assert!(
            ready.starts_with("HTTP/1.1 503") && ready.contains(r#""failing":"rabbitmq""#),
            "{ready}"
        );

        let _proxy = forward(broker, real_address.to_owned()).await;
        wait_for_line(&mut log, "working");
        assert!(get(internal, "/readyz").starts_with("HTTP/1.1 200"));
        terminate(&child);
        wait_for_line(&mut log, "stopped");
        assert!(child.wait().unwrap().success());
    });
}

/// A proxy that forwards connections.
async fn forward(from: SocketAddr, to: String) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = tokio::net::TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    })
}

#[test]
fn a_worker_that_is_waiting_stops_immediately() {
    let internal = free_address();
    let unused_address = free_address();
    let database_url = format!("postgres://shop:secret@{unused_address}/shop");
    let mut child = worker(&database_url, &servers().amqp_url("/"), internal)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = wait_for_line(&mut log, "waiting to start");
    assert!(line.contains(r#"waiting_for="postgres""#), "{line}");
    assert!(!line.contains("secret"), "{line}");
    terminate(&child);
    wait_for_line(&mut log, "stopped during startup");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_worker_does_not_retry_permanent_connection_errors() {
    with_database(async |database| {
        let amqp_url = servers().amqp_url("/");
        let real_address = amqp_url.rsplit('@').next().unwrap();
        let stranger = format!("amqp://stranger:secret@{real_address}");
        let (code, stderr) = run_to_exit(worker(&database.url, &stranger, free_address()));
        assert_eq!(code, Some(1), "{stderr}");
        assert!(
            stderr.contains("can't use the RabbitMQ at BACKSTOCK_AMQP_URL"),
            "{stderr}"
        );
        assert!(!stderr.contains("stranger:secret"), "{stderr}");

        let nowhere = servers().amqp_url("of-unused_address");
        let (code, stderr) = run_to_exit(worker(&database.url, &nowhere, free_address()));
        assert_eq!(code, Some(1), "{stderr}");
        assert!(
            stderr.contains("can't use the RabbitMQ at BACKSTOCK_AMQP_URL"),
            "{stderr}"
        );
    });
}

#[test]
fn a_worker_rejects_an_incompatible_schema() {
    let amqp_url = servers().amqp_url("/");
    let (code, stderr) = run_to_exit(worker(
        &servers().database_url("postgres"),
        &amqp_url,
        free_address(),
    ));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("run `backstock-api migrate` first"), "{stderr}");
    with_database(async |database| {
        database
            .execute("insert into _sqlx_migrations select 29990101000000, 'later', now(), true, '', 0")
            .await;
        let (code, stderr) = run_to_exit(worker(&database.url, &amqp_url, free_address()));
        assert_eq!(code, Some(1), "{stderr}");
        assert!(
            stderr.contains("newer than this build: it has migration 29990101000000"),
            "{stderr}"
        );
        database
            .execute("delete from _sqlx_migrations where version >= (select max(version) from _sqlx_migrations where version < 29990101000000)")
            .await;
        let (code, stderr) = run_to_exit(worker(&database.url, &amqp_url, free_address()));
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("older than this build"), "{stderr}");
    });
}

#[test]
fn all_invalid_settings_are_reported_with_the_allowed_values() {
    let mut command = worker_without_stores();
    command
        .env("BACKSTOCK_RETRY_DELAYS_MS", "1000,soon")
        .env("BACKSTOCK_PARTS", "relay,everything");
    let (code, stderr) = run_to_exit(command);
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

#[test]
fn all_contradicting_settings_are_reported() {
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
        let (code, stderr) = run_to_exit(command);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(setting) && stderr.contains(other), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let mut command = worker_without_stores();
    command.envs(contradictions.map(|(setting, value, _)| (setting, value)));
    let (code, stderr) = run_to_exit(command);
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
}
