//! Bulkheads: a class of requests that is stopped doesn't stop the others.

use api::database::{Class, Session};
use api::http::timings::Timings;
use axum::http::Request;
use clap::Parser;

use crate::carts::Cart;
use crate::support::people::Person;
use crate::support::shop::{Changes, TestShop};

/// As many sessions of a class as it gets while none is returned.
async fn all_of<'t>(shop: &TestShop, timings: &'t Timings) -> Vec<Session<'t>> {
    let mut held = Vec::new();
    loop {
        match shop.state.database.session(timings).await {
            Ok(session) => held.push(session),
            Err(error) => {
                assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error}");
                return held;
            }
        }
    }
}

#[tokio::test]
async fn lists_and_searches_that_take_all_they_can_leave_carts_and_accounts_their_connections() {
    let changes = Changes::default()
        .set("--database-connections", 8)
        // Far more than a busy machine needs to connect; who waits for nothing waits so long.
        .set("--database-acquire-timeout-ms", 1000);
    let mut shop = TestShop::start_with("optimized", changes).await;
    shop.stop_following_the_epoch().await;
    let customer = Person::customer(&shop).await;
    let cart = Cart::of_guest(&shop).await;
    let (browse, search) = (Timings::start(Class::Browse), Timings::start(Class::Search));
    let browsing = all_of(&shop, &browse).await;
    let searching = all_of(&shop, &search).await;
    assert_eq!((browsing.len(), searching.len()), (5, 1));
    for _ in 0..5 {
        cart.show().await.ok();
        shop.send(customer.asks(Request::get("/v1/me"))).await.ok();
    }
    for path in ["/v1/products?limit=7", "/v1/products?q=lantern"] {
        let refused = shop.get(path).await;
        refused.problem(503, "overloaded");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    drop(browsing);
    // What was lent is lent to whichever needs it.
    let more = all_of(&shop, &search).await;
    assert_eq!(more.len(), 1, "its maximum is two");
    shop.get("/v1/products?limit=7").await.ok();
}

#[tokio::test]
async fn each_route_uses_the_share_of_its_class() {
    let changes = Changes::default()
        .set("--database-connections", 8)
        .set("--database-acquire-timeout-ms", 1000);
    let mut shop = TestShop::start_with("optimized", changes).await;
    shop.stop_following_the_epoch().await;
    let (customer, admin) = (Person::customer(&shop).await, Person::admin(&shop).await);
    let cart = Cart::of_guest(&shop).await;
    let (account, buy) = (Timings::start(Class::Account), Timings::start(Class::Buy));

    let held = all_of(&shop, &account).await;
    for request in [
        customer.asks(Request::get("/v1/me")),
        customer.asks(Request::get("/v1/me/addresses")),
        admin.asks(Request::get("/v1/admin/audit-log")),
    ] {
        shop.send(request).await.problem(503, "overloaded");
    }
    cart.show().await.ok();
    shop.get("/v1/products?limit=5").await.ok();
    drop(held);

    let held = all_of(&shop, &buy).await;
    cart.show().await.problem(503, "overloaded");
    shop.send(customer.asks(Request::get("/v1/orders")))
        .await
        .problem(503, "overloaded");
    shop.send(customer.asks(Request::get("/v1/me"))).await.ok();
    shop.get("/v1/products?limit=6").await.ok();
    drop(held);
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: api::settings::Settings,
}

fn refused(flags: &[&str]) -> String {
    let needed = [
        "shop",
        "--database-url",
        "postgres://shop@127.0.0.1/shop",
        "--jwt-secrets",
        crate::support::shop::SECRETS,
    ];
    let redis = ["--redis-url", "redis://127.0.0.1/"];
    let Flags { settings } = Flags::parse_from(needed.iter().chain(&redis).chain(flags));
    match api::state::build_app(&settings) {
        Ok(_) => panic!("{flags:?} are not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn shares_that_do_not_fit_are_refused_at_start() {
    let message = refused(&[
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
