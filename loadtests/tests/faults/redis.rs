//! Redis dies under load and comes back: the catalogue is slower, and who buys is served as before.
//!
//! The Redis of the other tests can't be killed: see `own_servers.rs`.

use std::process::Command;

use uuid::Uuid;

use loadtests::load::{Request, fetch};

use super::aftermath::{Allowed, Market};
use super::buyers::{Buyers, Told};
use super::ground::{ALL_PARTS, services, town};
use super::own_servers::with_own_servers;

const NAME: &str = "redis::a_redis_that_dies_under_load_stops_no_sale_and_empties_no_shelf";

const BUYERS: usize = 4;
const ORDERS_A_BUYER: usize = 60;

/// Paid orders before Redis dies, while it is away, and at the least after it is back.
const ORDERS_BETWEEN: usize = 60;

#[test]
fn a_redis_that_dies_under_load_stops_no_sale_and_empties_no_shelf() {
    with_own_servers(NAME, 29000..29600, die_under_load());
}

async fn die_under_load() {
    let servers = services().await;
    let mut town = town(&servers, 34, "optimized").await;
    let mut market = Market::open(&mut town).await;
    town.start_worker(ALL_PARTS).await.unwrap();
    town.since = Uuid::now_v7();
    let orders = BUYERS * ORDERS_A_BUYER;
    let requests = market.carts.orders(&mut town.monitor, orders).await.unwrap();
    let list = Request::get("/v1/products?sort=best_selling").unwrap();
    let target = town.shop().target();
    let shelf = fetch(&target, &list).await.unwrap();
    assert_eq!(shelf.status, 200);

    let buyers = Buyers::send(&town, &requests, ORDERS_A_BUYER);
    buyers.until_more_have_paid(ORDERS_BETWEEN).await;
    let redis = servers.redis_pid().unwrap().to_string();
    let killed = Command::new("kill").args(["-9", &redis]).status().unwrap();
    assert!(killed.success());
    for _ in 0..20 {
        assert_eq!(fetch(&target, &list).await.unwrap().status, 200);
    }
    buyers.until_more_have_paid(ORDERS_BETWEEN).await;
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
