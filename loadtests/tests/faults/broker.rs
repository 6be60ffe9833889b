//! RabbitMQ dies under load and comes back: nobody who buys notices, and what follows each order is done once.
//!
//! The broker of the other tests can't be killed: see `own_servers.rs`.

use std::process::Command;

use uuid::Uuid;

use super::aftermath::{Allowed, Market};
use super::buyers::{Buyers, Told};
use super::ground::{ALL_PARTS, services, town};
use super::own_servers::with_own_servers;

const NAME: &str = "broker::a_broker_that_dies_under_load_stops_no_sale_and_loses_nothing";

const BUYERS: usize = 4;
const ORDERS_A_BUYER: usize = 60;

/// Paid orders before the broker dies, while it is away, and at the least after it is back.
const ORDERS_BETWEEN: usize = 60;

#[test]
fn a_broker_that_dies_under_load_stops_no_sale_and_loses_nothing() {
    with_own_servers(NAME, 28000..29000, die_under_load());
}

async fn die_under_load() {
    let servers = services().await;
    let mut town = town(&servers, 33, "optimized").await;
    let mut market = Market::open(&mut town).await;
    town.start_worker(ALL_PARTS).await.unwrap();
    town.since = Uuid::now_v7();
    let orders = BUYERS * ORDERS_A_BUYER;
    let requests = market.carts.orders(&mut town.monitor, orders).await.unwrap();

    let buyers = Buyers::send(&town, &requests, ORDERS_A_BUYER);
    buyers.until_more_have_paid(ORDERS_BETWEEN).await;
    let broker = servers.rabbitmq_pid().unwrap().to_string();
    let killed = Command::new("kill").args(["-9", &broker]).status().unwrap();
    assert!(killed.success());
    buyers.until_more_have_paid(ORDERS_BETWEEN).await;
    let unsaid = town.unsaid().await.unwrap();
    assert!(unsaid > 0, "events wait in the outbox for the broker");
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
