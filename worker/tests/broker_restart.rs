//! A broker that is killed while workers consume, and comes back: nothing is lost that is in the outbox or in a queue, and
//! nothing is done twice. No api runs here: orders are written as it leaves them.
//!
//! The broker of the other tests can't be killed. So this test runs itself again with servers of its own.

use std::net::TcpListener;
use std::process::Command;

use local_services::{Purpose, Services};
use serde_json::json;

use crate::support::{Shop, until};

const MARK: &str = "BACKSTOCK_TEST_HAS_ITS_OWN_SERVERS";
const NAME: &str = "broker_restart::a_broker_that_is_killed_and_comes_back_loses_nothing";

#[test]
fn a_broker_that_is_killed_and_comes_back_loses_nothing() {
    if std::env::var_os(MARK).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(kill_and_start_again());
    }
    let home = std::env::temp_dir().join(format!("backstock-worker-{}", std::process::id()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(MARK, "1")
        .env("BACKSTOCK_HOME", &home)
        .env("BACKSTOCK_PORT_BASE", free_port_base().to_string())
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
fn free_port_base() -> u16 {
    let is_free =
        |base: &u16| (base + 10..base + 15).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    (24000..27000)
        .step_by(20)
        .find(is_free)
        .expect("twenty free ports")
}

async fn kill_and_start_again() {
    const ORDERS: usize = 100;
    let shop = Shop::open().await;
    let slow = json!({ "latency_median_ms": 20.0, "latency_p99_ms": 40.0 });
    shop.simulators.set(&shop.simulators.carrier, slow).await;
    shop.paid_orders(ORDERS / 2).await;
    let settings = [("BACKSTOCK_CONCURRENCY", "4"), ("BACKSTOCK_PREFETCH", "16")];
    let (first, second) = tokio::join!(shop.worker(&settings), shop.worker(&settings));
    let fulfilled = "select count(*) from orders where status = 'fulfilled'";
    until("some orders are done", async || {
        shop.database.number(fulfilled).await > 10
    })
    .await;

    let broker = crate::support::servers().rabbitmq_pid().unwrap();
    let killed = Command::new("kill")
        .args(["-9", &broker.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    for worker in [&first, &second] {
        until("the worker knows that it is cut off", async || {
            let (status, body) = worker.get("/readyz").await;
            status == 503 && body.contains("rabbitmq")
        })
        .await;
    }
    // What is paid meanwhile waits in the outbox.
    shop.paid_orders(ORDERS / 2).await;
    let waiting = shop.database.number("select count(*) from outbox").await;
    assert!(waiting >= ORDERS as i64 / 2, "{waiting}");
    let _again = Services::start(Purpose::Tests).unwrap();

    shop.until_all_done(ORDERS).await;
    let (payments, labels) = (shop.simulators.payments().await, shop.simulators.labels().await);
    for (done, times) in [("captured", &payments), ("labels", &labels)] {
        assert_eq!(times[done], ORDERS, "{times}");
        assert_eq!(times["doubled"], 0, "{times}");
    }
    assert_eq!(
        shop.simulators.mails().await,
        ORDERS as i64,
        "no answer of the mail server's was lost"
    );
    for worker in [first, second] {
        until("the worker is ready again", async || {
            worker.get("/readyz").await.0 == 200
        })
        .await;
        assert_eq!(worker.stop().await, Some(0));
    }
}
