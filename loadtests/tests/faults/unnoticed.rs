//! RabbitMQ and Redis die under load and come back: who buys doesn't notice, and what follows each order is done once.
//!
//! Those of the other tests can't be killed, so these have servers of their own.

use std::process::Command;

use loadtests::load::{Request, Target, fetch};
use loadtests::trials::Town;
use local_services::Services;
use uuid::Uuid;

use super::aftermath::{Allowed, Market};
use super::buyers::{Buyers, Told};
use super::ground::{ALL_PARTS, town, with_own_servers};
use super::town_support::services;

const BROKER: &str = "unnoticed::a_broker_that_dies_under_load_stops_no_sale_and_loses_nothing";
const REDIS: &str = "unnoticed::a_redis_that_dies_under_load_stops_no_sale_and_empties_no_shelf";

const BUYERS: usize = 4;
const ORDERS_A_BUYER: usize = 60;

/// Paid orders before the death, while the dead is away, and at the least after it is back.
const ORDERS_BETWEEN: usize = 60;

#[test]
fn a_broker_that_dies_under_load_stops_no_sale_and_loses_nothing() {
    let test = die_under_load(33, Services::rabbitmq_pid, async |town| {
        let unsaid = town.unsaid().await.unwrap();
        assert!(unsaid > 0, "events wait in the outbox for the broker");
    });
    with_own_servers(BROKER, 28000..29000, test);
}

#[test]
fn a_redis_that_dies_under_load_stops_no_sale_and_empties_no_shelf() {
    let test = die_under_load(34, Services::redis_pid, async |town| {
        look_at_the_shelf(&town.shop().target()).await;
    });
    with_own_servers(REDIS, 29000..29600, test);
}

/// Kills one of the servers while people buy. `meanwhile` looks at the town while it is away.
async fn die_under_load(
    number: u8,
    pid: fn(&Services) -> Option<u32>,
    meanwhile: impl AsyncFnOnce(&mut Town),
) {
    let servers = services().await;
    let mut town = town(&servers, number, "optimized").await;
    let mut market = Market::open(&mut town).await;
    town.start_worker(ALL_PARTS).await.unwrap();
    town.since = Uuid::now_v7();
    let orders = BUYERS * ORDERS_A_BUYER;
    let requests = market.carts.orders(&mut town.monitor, orders).await.unwrap();
    look_at_the_shelf(&town.shop().target()).await;

    let buyers = Buyers::send(&town, &requests, ORDERS_A_BUYER);
    buyers.until_more_have_paid(ORDERS_BETWEEN).await;
    let pid = pid(&servers).unwrap().to_string();
    let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
    assert!(killed.success());
    buyers.until_more_have_paid(ORDERS_BETWEEN).await;
    meanwhile(&mut town).await;
    let _again = services().await;
    let (bought, told) = buyers.all().await;

    assert_eq!(
        told,
        Told::from([("201".to_owned(), orders)]),
        "nobody was refused"
    );
    assert_eq!(bought.len(), orders);
    let fulfilled = market.assert_adds_up(&mut town, Allowed::default()).await;
    assert_eq!(fulfilled, orders as i64);
    town.stop().await.unwrap();
}

/// A list that the cache keeps.
async fn look_at_the_shelf(shop: &Target) {
    let list = Request::get("/v1/products?sort=best_selling").unwrap();
    for _ in 0..20 {
        assert_eq!(fetch(shop, &list).await.unwrap().status, 200);
    }
}
