//! Servers of a test's own, which it may kill: those of the other tests must live. It runs itself again with them.

use std::net::TcpListener;
use std::ops::Range;
use std::process::Command;

const MARK: &str = "BACKSTOCK_TEST_HAS_ITS_OWN_SERVERS";

/// Runs the test of this name, a path from the crate's root, with servers of its own. They listen on some of these ports,
/// which are no other test's: tests run at the same time.
pub fn with_own_servers(name: &str, ports: Range<u16>, test: impl Future<Output = ()>) {
    if std::env::var_os(MARK).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(test);
    }
    let home = std::env::temp_dir().join(format!(
        "backstock-{}-{}",
        name.split("::").next().unwrap_or_default(),
        std::process::id()
    ));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .env("BACKSTOCK_HOME", &home)
        .env("BACKSTOCK_PORT_BASE", free_port_base(ports).to_string())
        .env_remove("BACKSTOCK_DATABASE_URL")
        .env_remove("BACKSTOCK_REDIS_URL")
        .env_remove("BACKSTOCK_AMQP_URL")
        .output()
        .unwrap();
    // Its servers end with their last user, by what is in that folder: only then may it go.
    let guardian = home.join("tests/guardian");
    if guardian.exists() {
        let stopped = Command::new("sh").arg(&guardian).arg("stop").status().unwrap();
        assert!(stopped.success(), "its servers could not be stopped");
    }
    let _ = std::fs::remove_dir_all(&home);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("1 passed"),
        "it was not found under its name: {said}"
    );
}

/// The first of 20 ports, of which local-services uses the second half for tests.
fn free_port_base(ports: Range<u16>) -> u16 {
    let is_free =
        |base: &u16| (base + 10..base + 15).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    ports.step_by(20).find(is_free).expect("twenty free ports")
}
