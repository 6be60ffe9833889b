//! A broker that is killed while workers consume, and restarted: nothing in the outbox or in a queue is lost,
//! and nothing is done twice. No api runs here; orders are inserted as the api leaves them.
//!
//! The broker of the other tests can't be killed, so this test has servers of its own.

use std::process::Command;

use local_services::{Purpose, Services, with_isolated_servers};
use serde_json::json;

use crate::support::{Shop, until};

const NAME: &str = "broker_restart::a_broker_that_is_killed_and_comes_back_loses_nothing";

#[test]
fn a_broker_that_is_killed_and_comes_back_loses_nothing() {
    let test = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.unwrap().block_on(kill_and_restart());
    };
    with_isolated_servers(NAME, 24000..27000, test).unwrap();
}

async fn kill_and_restart() {
    const ORDERS: usize = 100;
    let shop = Shop::open().await;
    let slow = json!({ "latency_median_ms": 20.0, "latency_p99_ms": 40.0 });
    shop.simulators.set_faults(&shop.simulators.carrier, slow).await;
    shop.paid_orders(ORDERS / 2).await;
    let settings = [
        ("BACKSTOCK_LABELS_IN_FLIGHT", "4"),
        ("BACKSTOCK_EMAILS_IN_FLIGHT", "4"),
    ];
    let (first, second) = tokio::join!(shop.worker(&settings), shop.worker(&settings));
    let fulfilled = "select count(*) from orders where status = 'fulfilled'";
    until("some orders are fulfilled", async || {
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
        until("the worker detects that it is disconnected", async || {
            let (status, body) = worker.get("/readyz").await;
            status == 503 && body.contains("rabbitmq")
        })
        .await;
    }
    // Events of orders paid meanwhile wait in the outbox.
    shop.paid_orders(ORDERS / 2).await;
    let waiting = shop.database.number("select count(*) from outbox").await;
    assert!(waiting >= ORDERS as i64 / 2, "{waiting}");
    let _restarted = Services::start(Purpose::Tests).unwrap();

    shop.until_all_handled(ORDERS).await;
    let (payments, labels) = (shop.simulators.payments().await, shop.simulators.labels().await);
    for (done, times) in [("captured", &payments), ("labels", &labels)] {
        assert_eq!(times[done], ORDERS, "{times}");
        assert_eq!(times["doubled"], 0, "{times}");
    }
    assert_eq!(
        shop.simulators.mail_count().await,
        ORDERS as i64,
        "no response of the mail server was lost"
    );
    for worker in [first, second] {
        until("the worker is ready again", async || {
            worker.get("/readyz").await.0 == 200
        })
        .await;
        assert_eq!(worker.stop().await, Some(0));
    }
}
