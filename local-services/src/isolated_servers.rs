//! Servers of a test's own, which it may kill: those of the other tests must live. It runs itself again with them.

use std::net::TcpListener;
use std::ops::Range;
use std::process::Command;

use anyhow::{Context, Result, ensure};

const MARK: &str = "BACKSTOCK_TEST_HAS_ITS_OWN_SERVERS";

/// Runs a test with servers of its own: in a process of its own, since where the servers are is read from the environment.
/// There they are started by [`crate::Services::start`] as always, and when the test has ended they are stopped.
///
/// `name` is the test's path from its crate's root. Its servers listen on some of `ports`, which are no other test's: tests
/// run at the same time.
///
/// # Errors
/// With all that the test said when it failed; when nothing has that name, when no port is free, or when the servers can't
/// be stopped.
pub fn with_own_servers(name: &str, ports: Range<u16>, test: impl FnOnce()) -> Result<()> {
    if std::env::var_os(MARK).is_some() {
        test();
        return Ok(());
    }
    let port_base = free_port_base(ports)?;
    // Short, since it holds sockets; the ports tell the tests of this process apart.
    let of = format!("backstock-test-{}-{port_base}", std::process::id());
    let home = std::env::temp_dir().join(of);
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .env("BACKSTOCK_HOME", &home)
        .env("BACKSTOCK_PORT_BASE", port_base.to_string())
        .env_remove("BACKSTOCK_DATABASE_URL")
        .env_remove("BACKSTOCK_REDIS_URL")
        .env_remove("BACKSTOCK_AMQP_URL")
        .output()?;
    // Its servers end with their last user, by what is in that folder: only then may it go.
    let guardian = home.join("tests/guardian");
    if guardian.exists() {
        let stopped = Command::new("sh").arg(&guardian).arg("stop").status()?;
        ensure!(stopped.success(), "its servers could not be stopped");
    }
    let _ = std::fs::remove_dir_all(&home);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.contains("1 passed"),
        "it was not found under its name: {said}"
    );
    Ok(())
}

/// The first of 20 ports, of which the second half is for tests.
fn free_port_base(ports: Range<u16>) -> Result<u16> {
    let is_free =
        |base: &u16| (base + 10..base + 15).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    ports.step_by(20).find(is_free).context("no twenty free ports")
}
