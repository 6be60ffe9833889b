//! Bulkheads: a class of requests that exhausts its connections doesn't affect other classes.

use api::database::InstrumentedConnection;
use api::web::request_class::RequestClass;
use api::web::timings::Timings;
use axum::http::Request;
use clap::Parser;

use crate::carts::Cart;
use crate::support::people::Person;
use crate::support::shop::{Changes, TestShop};

/// Acquires connections of a class until the pool rejects one.
async fn exhaust<'t>(shop: &TestShop, timings: &'t Timings) -> Vec<InstrumentedConnection<'t>> {
    let mut held = Vec::new();
    loop {
        match shop.state.database.acquire(timings).await {
            Ok(connection) => held.push(connection),
            Err(error) => {
                assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error}");
                return held;
            }
        }
    }
}

#[tokio::test]
async fn lists_and_searches_leave_carts_and_accounts_their_guaranteed_connections() {
    let changes = Changes::default()
        .set("--database-connections", 8)
        // Generous for connecting on a busy machine. Requests that get no connection wait this long.
        .set("--database-acquire-timeout-ms", 1000);
    let mut shop = TestShop::start_with(changes).await;
    shop.stop_following_changes().await;
    let customer = Person::customer(&shop).await;
    let cart = Cart::for_guest(&shop).await;
    let (browse, search) = (
        Timings::start(RequestClass::Browse),
        Timings::start(RequestClass::Search),
    );
    let browsing = exhaust(&shop, &browse).await;
    let searching = exhaust(&shop, &search).await;
    assert_eq!((browsing.len(), searching.len()), (5, 1));
    for _ in 0..5 {
        cart.show().await.ok();
        shop.send(customer.authorize(Request::get("/v1/me"))).await.ok();
    }
    for path in ["/v1/products?limit=7", "/v1/products?q=lantern"] {
        let response = shop.get(path).await;
        response.problem(503, "overloaded");
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    drop(browsing);
    // Shared connections go to any class that needs one.
    let more = exhaust(&shop, &search).await;
    assert_eq!(more.len(), 1, "its maximum is two");
    shop.get("/v1/products?limit=7").await.ok();
}

#[tokio::test]
async fn each_route_uses_the_connections_of_its_class() {
    let changes = Changes::default()
        .set("--database-connections", 8)
        .set("--database-acquire-timeout-ms", 1000);
    let mut shop = TestShop::start_with(changes).await;
    shop.stop_following_changes().await;
    let (customer, admin) = (Person::customer(&shop).await, Person::admin(&shop).await);
    let cart = Cart::for_guest(&shop).await;
    let (account, buy) = (
        Timings::start(RequestClass::Account),
        Timings::start(RequestClass::Buy),
    );

    let held = exhaust(&shop, &account).await;
    for request in [
        customer.authorize(Request::get("/v1/me")),
        customer.authorize(Request::get("/v1/me/addresses")),
        admin.authorize(Request::get("/v1/admin/audit-log")),
    ] {
        shop.send(request).await.problem(503, "overloaded");
    }
    cart.show().await.ok();
    shop.get("/v1/products?limit=5").await.ok();
    drop(held);

    let held = exhaust(&shop, &buy).await;
    cart.show().await.problem(503, "overloaded");
    shop.send(customer.authorize(Request::get("/v1/orders")))
        .await
        .problem(503, "overloaded");
    shop.send(customer.authorize(Request::get("/v1/me"))).await.ok();
    shop.get("/v1/products?limit=6").await.ok();
    drop(held);
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: api::settings::Settings,
}

fn startup_error(flags: &[&str]) -> String {
    let required = [
        "shop",
        "--database-url",
        "postgres://shop@127.0.0.1/shop",
        "--jwt-secrets",
        crate::support::shop::SECRETS,
    ];
    let redis = ["--redis-url", "redis://127.0.0.1/"];
    let Flags { settings } = Flags::parse_from(required.iter().chain(&redis).chain(flags));
    match api::server::app::build_app(&settings) {
        Ok(_) => panic!("{flags:?} are accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn invalid_shares_are_rejected_at_startup() {
    let message = startup_error(&[
        "--database-browse-connections",
        "6-8",
        "--database-buy-connections",
        "3-8",
    ]);
    assert!(
        message.contains("11 connections are guaranteed to classes, and there are 8"),
        "{message}"
    );
    let unparsable = Flags::try_parse_from(["shop", "--database-search-connections", "3-2"]);
    let message = unparsable.err().unwrap().to_string();
    assert!(
        message.contains("must be a guaranteed number and a maximum"),
        "{message}"
    );
}
