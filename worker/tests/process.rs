//! The worker as a real process: it waits for its stores, becomes ready, stops in order, and says what is wrong with its
//! settings.

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
        .env("BACKSTOCK_DATABASE_URL", database_url)
        .env("BACKSTOCK_AMQP_URL", amqp_url)
        .env("BACKSTOCK_INTERNAL_LISTEN", internal.to_string())
        .env_remove("BACKSTOCK_VARIANTS")
        .stderr(Stdio::piped());
    command
}

/// One that has no reason to look at its stores.
fn wrong_worker() -> Command {
    let nobody = free_address();
    let (database_url, amqp_url) = (
        format!("postgres://{nobody}/shop"),
        format!("amqp://{nobody}/%2f"),
    );
    worker(&database_url, &amqp_url, free_address())
}

fn with_a_schema<T>(test: impl AsyncFnOnce(&TestDatabase) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let database = TestDatabase::new().await;
        let ended = test(&database).await;
        database.drop().await;
        ended
    })
}

/// How it ended, and what it said.
fn refusal(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Reads the log until a line holds the text, and returns that line. Ends at the log's end, so never hangs on a
/// worker that died.
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
fn a_worker_becomes_ready_and_stops_in_order_on_sigterm() {
    with_a_schema(async |database| {
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
        assert!(get(internal, "/internal/variants").contains(r#""preset":"optimized""#));
        assert!(get(internal, "/metrics").contains("backstock_variant_info"));

        terminate(&child);
        wait_for_line(&mut log, "stopped");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_worker_waits_for_a_broker_and_says_so() {
    with_a_schema(async |database| {
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

        let _way = way(broker, real_address.to_owned()).await;
        wait_for_line(&mut log, "working");
        assert!(get(internal, "/readyz").starts_with("HTTP/1.1 200"));
        terminate(&child);
        wait_for_line(&mut log, "stopped");
        assert!(child.wait().unwrap().success());
    });
}

/// Somebody who listens there, and passes on what is said.
async fn way(from: SocketAddr, to: String) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = tokio::net::TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    })
}

#[test]
fn a_worker_that_waits_stops_at_once() {
    let internal = free_address();
    let nobody = free_address();
    let database_url = format!("postgres://shop:secret@{nobody}/shop");
    let mut child = worker(&database_url, &servers().amqp_url("/"), internal)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = wait_for_line(&mut log, "waiting to start");
    assert!(line.contains(r#"waiting_for="postgres""#), "{line}");
    assert!(!line.contains("secret"), "{line}");
    terminate(&child);
    wait_for_line(&mut log, "stopped before it worked");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_worker_does_not_wait_for_what_will_not_pass() {
    with_a_schema(async |database| {
        let amqp_url = servers().amqp_url("/");
        let real_address = amqp_url.rsplit('@').next().unwrap();
        let stranger = format!("amqp://stranger:secret@{real_address}");
        let (code, said) = refusal(worker(&database.url, &stranger, free_address()));
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("can't use the RabbitMQ at BACKSTOCK_AMQP_URL"),
            "{said}"
        );
        assert!(!said.contains("stranger:secret"), "{said}");

        let nowhere = servers().amqp_url("of-nobody");
        let (code, said) = refusal(worker(&database.url, &nowhere, free_address()));
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("can't use the RabbitMQ at BACKSTOCK_AMQP_URL"),
            "{said}"
        );
    });
}

#[test]
fn a_worker_refuses_a_schema_that_is_not_its_own() {
    let amqp_url = servers().amqp_url("/");
    let (code, said) = refusal(worker(
        &servers().database_url("postgres"),
        &amqp_url,
        free_address(),
    ));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("run `backstock-api migrate` first"), "{said}");
    with_a_schema(async |database| {
        database
            .execute("insert into _sqlx_migrations select 29990101000000, 'later', now(), true, '', 0")
            .await;
        let (code, said) = refusal(worker(&database.url, &amqp_url, free_address()));
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("newer than this build: it has migration 29990101000000"),
            "{said}"
        );
        database
            .execute("delete from _sqlx_migrations where version >= (select max(version) from _sqlx_migrations where version < 29990101000000)")
            .await;
        let (code, said) = refusal(worker(&database.url, &amqp_url, free_address()));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("older than this build"), "{said}");
    });
}

#[test]
fn wrong_settings_are_named_with_what_is_allowed_all_at_once() {
    let mut command = wrong_worker();
    command
        .env("BACKSTOCK_VARIANTS", "fastest")
        .env("BACKSTOCK_RETRY_DELAYS_MS", "1000,soon")
        .env("BACKSTOCK_PARTS", "relay,everything");
    let (code, said) = refusal(command);
    assert_eq!(code, Some(2), "{said}");
    for (name, allowed) in [
        ("BACKSTOCK_VARIANTS", "`optimized` and `baseline`"),
        ("BACKSTOCK_RETRY_DELAYS_MS", "from 1 to 600000"),
        ("BACKSTOCK_PARTS", "upkeep"),
    ] {
        assert!(said.contains(name) && said.contains(allowed), "{name}: {said}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_named_all_at_once() {
    let contradictions = [
        (
            "BACKSTOCK_EMAIL_CLAIM_MS",
            "10999",
            "BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS",
        ),
        ("BACKSTOCK_VOID_GRACE_MS", "5000", "BACKSTOCK_PAYMENT_TIMEOUT_MS"),
    ];
    for (setting, value, other) in contradictions {
        let mut command = wrong_worker();
        command.env(setting, value);
        let (code, said) = refusal(command);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(setting) && said.contains(other), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let mut command = wrong_worker();
    command.envs(contradictions.map(|(setting, value, _)| (setting, value)));
    let (code, said) = refusal(command);
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}
