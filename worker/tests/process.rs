//! The worker as a real process: it becomes ready, stops in order, and says what is wrong with its settings.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use local_services::Services;

use crate::support::servers;

const WORKER: &str = env!("CARGO_BIN_EXE_backstock-worker");

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn worker(services: &Services, internal: SocketAddr) -> Command {
    let mut command = Command::new(WORKER);
    command
        .env("BACKSTOCK_DATABASE_URL", services.database_url("postgres"))
        .env("BACKSTOCK_AMQP_URL", services.amqp_url("/"))
        .env("BACKSTOCK_INTERNAL_LISTEN", internal.to_string())
        .env_remove("BACKSTOCK_VARIANTS")
        .stderr(Stdio::piped());
    command
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
    let services = servers();
    let internal = free_address();
    let mut child = worker(services, internal).spawn().unwrap();
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
}

#[test]
fn a_worker_without_a_broker_says_which_setting_to_look_at() {
    let services = servers();
    let nobody = free_address();
    let output = worker(services, free_address())
        .env("BACKSTOCK_AMQP_URL", format!("amqp://{nobody}/%2f"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("BACKSTOCK_AMQP_URL"));
}

#[test]
fn a_wrong_setting_is_named_with_what_is_allowed() {
    let services = servers();
    let output = worker(services, free_address())
        .env("BACKSTOCK_VARIANTS", "fastest")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("BACKSTOCK_VARIANTS") && said.contains("`optimized` and `baseline`"),
        "{said}"
    );
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let services = servers();
    for (setting, value, other) in [
        (
            "BACKSTOCK_EMAIL_CLAIM_MS",
            "10999",
            "BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS",
        ),
        ("BACKSTOCK_VOID_GRACE_MS", "5000", "BACKSTOCK_PAYMENT_TIMEOUT_MS"),
        ("BACKSTOCK_PREFETCH", "15", "BACKSTOCK_CONCURRENCY"),
    ] {
        // With settings that it accepts it would end for want of a broker.
        let output = worker(services, free_address())
            .env("BACKSTOCK_AMQP_URL", format!("amqp://{}/%2f", free_address()))
            .env(setting, value)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(setting) && said.contains(other), "{said}");
    }
}
