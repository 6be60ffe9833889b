//! Black-box tests of the servers' life cycle. Each test has its own home and ports, and its users are real processes.
//!
//! Most tests name an external RabbitMQ that is never contacted, to save the seconds that a real one takes to start.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

const PROGRAM: &str = env!("CARGO_BIN_EXE_backstock-local-services");

/// A command that uses the servers until its standard input is closed.
const USE: [&str; 6] = ["run", "--", "sh", "-c", "echo ready; read _line", "user"];

struct Machine {
    home: PathBuf,
    port_base: u16,
    has_rabbitmq: bool,
}

impl Machine {
    fn new(name: &str) -> Machine {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        Machine {
            home,
            port_base: free_port_base(),
            has_rabbitmq: false,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        for variable in [
            "BACKSTOCK_DATABASE_URL",
            "BACKSTOCK_REDIS_URL",
            "BACKSTOCK_AMQP_URL",
        ] {
            command.env_remove(variable);
        }
        if !self.has_rabbitmq {
            command.env("BACKSTOCK_AMQP_URL", "amqp://elsewhere.invalid");
        }
        command
            .env("BACKSTOCK_HOME", &self.home)
            .env("BACKSTOCK_PORT_BASE", self.port_base.to_string());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must fail, and returns its last line.
    fn failure(&self) -> String {
        let output = self.run(&["run", "--", "true"]);
        assert_eq!(output.status.code(), Some(1));
        stderr(&output).lines().last().unwrap_or_default().to_owned()
    }

    /// The process id that `status` shows for a test server.
    fn pid(&self, server: &str) -> Option<u32> {
        let status = String::from_utf8(self.run(&["status"]).stdout).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with(&format!("tests {server}:")))
            .unwrap();
        line.split_once("process ")?.1.split(' ').next()?.parse().ok()
    }

    fn assert_nothing_runs(&self) {
        for server in ["postgres", "redis", "rabbitmq"] {
            assert_eq!(self.pid(server), None, "{server} still runs");
        }
        assert!(are_free(self.port_base), "the servers' ports are free again");
    }

    fn user(&self) -> User {
        let mut child = self
            .command(&USE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        assert_eq!(ready, "ready\n");
        User { child }
    }

    /// Waits until the watchdog has stopped the servers and exited.
    fn await_watchdog(&self) {
        let lock = File::options()
            .write(true)
            .open(self.home.join("tests/watchdog.lock"))
            .unwrap();
        lock.lock().unwrap();
    }

    fn record(&self, server: &str) -> PathBuf {
        self.home.join(format!("tests/{server}.process"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.run(&["stop"]); // After a failed assertion.
        let _ = fs::remove_dir_all(fs::read_link(self.home.join("tests/data")).unwrap_or_default());
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A process that uses the servers.
struct User {
    child: Child,
}

impl User {
    fn leave(mut self) -> Output {
        drop(self.child.stdin.take());
        self.child.wait_with_output().unwrap()
    }

    fn kill(mut self) {
        self.child.kill().unwrap(); // SIGKILL, so that it can't clean up.
        self.child.wait().unwrap();
    }
}

fn free_port_base() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = u16::try_from(std::process::id() % 200).unwrap() + NEXT.fetch_add(1, Ordering::Relaxed);
        let base = 20000 + offset * 20;
        if are_free(base) {
            return base;
        }
    }
}

/// Connects instead of binding: a process that another test starts meanwhile would inherit a bound socket until its `exec`.
fn are_free(port_base: u16) -> bool {
    (10..15).all(|port| TcpStream::connect(("127.0.0.1", port_base + port)).is_err())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn three_servers_start_and_stop_with_their_last_user() {
    let mut machine = Machine::new("three");
    machine.has_rabbitmq = true;
    // A stray port mapper, as an Erlang node of an earlier run may have left it.
    let stray = [
        "-daemon",
        "-address",
        "127.0.0.1",
        "-port",
        &(machine.port_base + 13).to_string(),
    ]
    .map(str::to_owned);
    assert!(Command::new("epmd").args(stray).status().unwrap().success());
    let script = "echo \"$BACKSTOCK_DATABASE_URL $BACKSTOCK_REDIS_URL $BACKSTOCK_AMQP_URL\"; exit 7";
    let output = machine.run(&["run", "--vhost", "made later", "--", "sh", "-c", script]);
    assert_eq!(
        output.status.code(),
        Some(7),
        "the command's exit code is passed on: {}",
        stderr(&output)
    );

    let urls = String::from_utf8_lossy(&output.stdout);
    let port = machine.port_base + 10;
    assert!(urls.contains(&format!("@127.0.0.1:{port}/postgres ")), "{urls}");
    assert!(urls.contains(&format!("@127.0.0.1:{}/0 ", port + 1)), "{urls}");
    assert!(
        urls.contains(&format!("@127.0.0.1:{}/made%20later", port + 2)),
        "{urls}"
    );
    for server in ["postgres", "redis", "rabbitmq"] {
        let line = stderr(&output)
            .lines()
            .any(|line| line.starts_with(&format!("{server} ")) && line.ends_with(" s)"));
        assert!(line, "{server} is announced: {}", stderr(&output));
    }
    machine.assert_nothing_runs();
}

#[test]
fn a_second_user_joins_and_the_servers_outlive_the_first() {
    let machine = Machine::new("join");
    let first = machine.user();
    let pids = (machine.pid("postgres"), machine.pid("redis"));
    assert!(pids.0.is_some() && pids.1.is_some());

    let second = machine.user();
    first.leave();
    assert_eq!((machine.pid("postgres"), machine.pid("redis")), pids);
    let announced = stderr(&second.leave());
    assert!(
        !announced.contains("postgres 1"),
        "the second user started nothing: {announced}"
    );
    machine.assert_nothing_runs();
}

#[test]
fn servers_stop_after_their_user_is_killed() {
    let machine = Machine::new("killed");
    let user = machine.user();
    assert!(machine.pid("postgres").is_some());
    user.kill();
    machine.await_watchdog();
    machine.assert_nothing_runs();
}

#[test]
fn a_start_waits_for_a_stopping_watchdog_and_then_starts_servers() {
    let machine = Machine::new("relay");
    for _ in 0..3 {
        machine.user().kill();
        let user = machine.user();
        assert!(machine.pid("postgres").is_some());
        user.kill();
    }
    machine.await_watchdog();
    machine.assert_nothing_runs();
}

#[test]
fn stop_fails_while_the_servers_are_in_use() {
    let machine = Machine::new("refuse");
    let user = machine.user();
    let output = machine.run(&["stop"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(&format!("in use by process {}", user.child.id())),
        "{}",
        stderr(&output)
    );
    assert!(machine.pid("postgres").is_some());
    user.leave();
    assert!(machine.run(&["stop"]).status.success());
}

#[test]
fn a_dead_server_is_started_again_by_the_next_user() {
    let machine = Machine::new("again");
    let first = machine.user();
    let (postgres, redis) = (machine.pid("postgres"), machine.pid("redis").unwrap());
    assert!(
        Command::new("kill")
            .args(["-s", "KILL", &redis.to_string()])
            .status()
            .unwrap()
            .success()
    );

    let second = machine.user();
    assert_eq!(machine.pid("postgres"), postgres);
    assert!(machine.pid("redis").is_some_and(|pid| pid != redis));
    first.leave();
    second.leave();
    machine.assert_nothing_runs();
}

#[test]
fn reused_process_ids_of_a_crash_are_left_alone() {
    let machine = Machine::new("stale");
    machine.user().leave();
    // As after a power failure: records and a pid file name a process id that another process, this test, has now.
    let pid = std::process::id();
    for server in ["postgres", "redis"] {
        fs::write(machine.record(server), format!("{pid} 1 {}\n", machine.port_base)).unwrap();
    }
    fs::write(
        machine.home.join("tests/data/postgres/postmaster.pid"),
        format!("{pid}\n/elsewhere\n"),
    )
    .unwrap();

    let user = machine.user();
    assert!(machine.pid("postgres").is_some_and(|started| started != pid));
    user.leave();
    machine.assert_nothing_runs();
}

#[test]
fn a_busy_port_is_reported_with_the_setting_that_changes_it() {
    let machine = Machine::new("busy");
    let port = machine.port_base + 11;
    let _busy = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let error = machine.failure();
    assert!(
        error.contains(&format!("Redis needs port {port}")) && error.contains("BACKSTOCK_PORT_BASE="),
        "{error}"
    );
    assert_eq!(
        machine.pid("postgres"),
        None,
        "a failed start leaves nothing behind"
    );
}

#[test]
fn a_server_that_exits_during_start_up_is_reported_with_its_last_error() {
    let machine = Machine::new("dying");
    machine.user().leave();
    let control = machine.home.join("tests/data/postgres/global/pg_control");
    File::options()
        .write(true)
        .truncate(true)
        .open(control)
        .unwrap()
        .write_all(b"broken")
        .unwrap();
    let error = machine.failure();
    assert!(
        error.contains("postgres exited during start-up") && error.contains("tests-postgres.log"),
        "{error}"
    );
    assert!(error.contains("FATAL") || error.contains("PANIC"), "{error}");
}

#[test]
fn invalid_settings_are_rejected_with_an_example() {
    let machine = Machine::new("nonsense");
    let rejected = |variable: &str, value: &str| {
        let output = machine
            .command(&["run", "--", "true"])
            .env(variable, value)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    assert!(rejected("BACKSTOCK_PORT_BASE", "99999").contains("for example 27600"));
    assert!(rejected("BACKSTOCK_DATABASE_URL", "localhost").contains("postgres://backstock"));
}
