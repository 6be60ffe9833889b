//! Isolated servers for one test, which it may kill without disturbing other tests.

use std::net::TcpStream;
use std::ops::Range;
use std::process::Command;

use anyhow::{Context, Result, ensure};

const MARKER: &str = "BACKSTOCK_TEST_HAS_ISOLATED_SERVERS";

/// Runs a test with isolated servers. The test binary runs itself again for this test, in a process with its own
/// environment, because the environment says where the servers are. [`crate::Services::start`] starts them there as usual,
/// and they are stopped when the test has ended.
///
/// `name` is the test's path from its crate's root. Tests run concurrently, so each needs its own range of `ports`.
///
/// # Errors
/// The test's output when it fails; when no test has that name, no port is free, or the servers can't be stopped.
pub fn with_isolated_servers(name: &str, ports: Range<u16>, test: impl FnOnce()) -> Result<()> {
    if std::env::var_os(MARKER).is_some() {
        test();
        return Ok(());
    }
    let port_base = free_port_base(ports)?;
    // Short, because socket paths are limited. The port makes it unique among the tests of this process.
    let directory = format!("backstock-test-{}-{port_base}", std::process::id());
    let home = std::env::temp_dir().join(directory);
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .env(MARKER, "1")
        .env("BACKSTOCK_HOME", &home)
        .env("BACKSTOCK_PORT_BASE", port_base.to_string())
        .env_remove("BACKSTOCK_DATABASE_URL")
        .env_remove("BACKSTOCK_REDIS_URL")
        .env_remove("BACKSTOCK_AMQP_URL")
        .output()?;
    // The servers' watchdog and its locks are in that directory, so they are stopped before it is removed.
    let watchdog = home.join("tests/watchdog");
    if watchdog.exists() {
        let stopped = Command::new("sh").arg(&watchdog).arg("stop").status()?;
        ensure!(stopped.success(), "the servers could not be stopped");
    }
    let _ = std::fs::remove_dir_all(&home);
    let log = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{log}");
    ensure!(log.contains("1 passed"), "no test has that name: {log}");
    Ok(())
}

/// The first of 20 ports, the second half of which is for tests.
fn free_port_base(ports: Range<u16>) -> Result<u16> {
    // It connects instead of binding: a process that another thread starts meanwhile would inherit a bound socket until its
    // `exec`.
    let is_free =
        |base: &u16| (base + 10..base + 15).all(|port| TcpStream::connect(("127.0.0.1", port)).is_err());
    ports.step_by(20).find(is_free).context("no twenty free ports")
}
