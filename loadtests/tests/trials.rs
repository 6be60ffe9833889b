//! Whole shops as processes: what a town does, and what lessons of trials show.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod town_support;

use std::process::Command;
use std::time::Duration;

use loadtests::load::fetch;
use loadtests::trials::{Carts, Goods, Tap, ThirdParties};
use local_services::{Purpose, Services};

use town_support::{api_binary, services, town};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a killed worker had begun is free again soon, and what failed is tried again soon.
const IMPATIENT: [(&str, &str); 3] = [
    ("BACKSTOCK_SMTP_TIMEOUT_MS", "1000"),
    ("BACKSTOCK_EMAIL_CLAIM_MS", "2000"),
    ("BACKSTOCK_RETRY_DELAYS_MS", "500,1000,2000"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_town_does_all_that_follows_an_order_and_its_books_are_right() {
    let services = services().await;
    let mut town = town(&services, 20, "optimized", &IMPATIENT).await;
    town.set_delays(&ThirdParties::AT_ONCE).await.unwrap();
    let goods = Goods::choose(&mut town.monitor, 4, 2, 10).await.unwrap();
    let tap = Tap::start(&town.amqp_url).await.unwrap();
    let mut carts = Carts::of(goods.clone());
    let made = carts.make(&mut town.monitor, 6).await.unwrap();
    for (number, cart) in made.iter().enumerate() {
        let (token, expected) = if number == 5 {
            ("tok_declined", 402)
        } else {
            ("tok_ok", 201)
        };
        let answer = fetch(&town.shop().target(), &cart.order(token).unwrap())
            .await
            .unwrap();
        assert_eq!(
            answer.status,
            expected,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    assert_eq!(town.undone().await.unwrap(), 5, "nobody works yet");
    assert_eq!(town.unsaid().await.unwrap(), 5);

    town.start_worker("relay,consumers").await.unwrap();
    assert_eq!(town.drain(PATIENCE).await.unwrap(), 0);
    assert!(tap.wait_for(5, PATIENCE).await.unwrap());
    let heard = tap.drain().await.unwrap();
    assert_eq!((heard.orders.len(), heard.doubled()), (5, 0));
    assert_eq!(town.simulators.mails().await.unwrap(), 5);
    let books = town.books(&goods).await.unwrap();
    // Five orders of two lines of a unit each; the sixth gave its units back.
    assert_eq!((books.paid, books.units_paid, books.units_left), (5, 10, 30));
    assert_eq!((books.miscounted(40), books.oversold(40)), (0, 0));
    assert_eq!(books.violated(), None);
    town.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_leaves_work_that_the_next_one_does() {
    let services = services().await;
    let mut town = town(&services, 21, "optimized", &IMPATIENT).await;
    let goods = Goods::choose(&mut town.monitor, 4, 1, 100).await.unwrap();
    let mut carts = Carts::of(goods.clone());
    town.start_worker("relay,consumers").await.unwrap();
    let orders = carts.orders(&mut town.monitor, 10).await.unwrap();
    for order in orders.iter() {
        let answer = fetch(&town.shop().target(), order).await.unwrap();
        assert_eq!(answer.status, 201);
    }
    town.kill();
    town.start_api().await.unwrap();
    town.start_worker("relay,consumers").await.unwrap();
    assert_eq!(town.drain(PATIENCE).await.unwrap(), 0);
    for order in orders.iter() {
        let again = fetch(&town.shop().target(), order).await.unwrap();
        assert_eq!(again.status, 201);
        assert!(again.headers.contains_key("idempotency-replayed"));
    }
    let books = town.books(&goods).await.unwrap();
    assert_eq!(
        (books.paid, books.miscounted(400), books.violated()),
        (10, 0, None)
    );
    town.stop().await.unwrap();
}

/// Without baselines there is nothing to compare.
#[test]
fn the_lesson_of_events_loses_and_doubles_what_it_says() {
    let services = Services::start(Purpose::Tests).unwrap();
    // Servers that the environment names are strangers to the lab, which makes no virtual hosts there.
    for vhost in ["town0", "town1"] {
        services.create_vhost(vhost).unwrap();
    }
    let output = std::env::temp_dir().join(format!("backstock-trials-events-{}", std::process::id()));
    let compared = Command::new(env!("CARGO_BIN_EXE_backstock-lab"))
        .args([
            "compare", "--lesson", "events", "--scale", "xs", "--json", "--output",
        ])
        .arg(&output)
        .arg("--api-binary")
        .arg(api_binary())
        .env("BACKSTOCK_DATABASE_URL", services.database_url("postgres"))
        .env("BACKSTOCK_REDIS_URL", services.redis_url(0))
        .env("BACKSTOCK_AMQP_URL", services.amqp_url("/"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&compared.stderr).into_owned();
    let report: serde_json::Value = serde_json::from_slice(&compared.stdout).expect(&said);
    let _ = std::fs::remove_dir_all(&output);
    let lesson = &report["lessons"][0];
    assert_eq!(lesson["failed"], serde_json::Value::Null, "{said}");
    assert_eq!(lesson["signature"]["holds"], true, "{}", lesson["signature"]);
    assert_eq!(
        lesson["same_answers"]["different"], 0,
        "{}",
        lesson["same_answers"]
    );
    let outcomes = |scenario: usize, arm: usize| &lesson["scenarios"][scenario]["arms"][arm]["outcomes"];
    let (before, after) = (0, 1);
    let (dual_write, outbox) = (0, 1);
    assert_eq!(outcomes(before, dual_write)["lost"], 60);
    assert_eq!(outcomes(before, outbox)["lost"], 0);
    assert_eq!(outcomes(after, dual_write)["lost"], 0);
    assert_eq!(outcomes(after, outbox)["lost"], 0);
    assert_eq!(outcomes(after, outbox)["doubled"], 60);
    assert_eq!(outcomes(after, outbox)["doubled_under_another_id"], 0);
    assert!(compared.status.success(), "{said}");
}
