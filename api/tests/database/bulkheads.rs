//! Bulkheads: a class of requests that is stopped doesn't stop the others.

use clap::Parser;

use crate::carts::Cart;
use crate::support::database::execute;
use crate::support::people::Person;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

#[tokio::test]
async fn lists_that_all_wait_leave_carts_and_accounts_their_connections() {
    let changes = Changes::default()
        .set("--database-connections", 8)
        .set("--database-acquire-timeout-ms", 300);
    let mut shop = TestShop::start_with("optimized", changes).await;
    shop.stop_following_the_epoch().await;
    let customer = Person::customer(&shop).await;
    let cart = Cart::of_guest(&shop).await;
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    // Words that differ, so that each asks Postgres.
    let words = [
        "anorak", "blouse", "lantern", "saucepan", "trowel", "hammock", "kettle", "wool", "linen", "brass",
    ];
    let lists = futures_util::future::join_all(words.iter().enumerate().flat_map(|(at, word)| {
        let (browse, search) = (
            format!("/v1/products?limit={}", at + 1),
            format!("/v1/products?q={word}"),
        );
        let shop = &shop;
        [browse, search].map(|path| async move { shop.get(&path).await })
    }));
    let others = async {
        until("browse and search have all that they may have", async || {
            let waiting = shop
                .database
                .number(
                    "select count(*) from pg_stat_activity where datname = current_database()
                     and application_name = 'backstock-api' and wait_event_type = 'Lock'",
                )
                .await;
            (waiting == 6).then_some(())
        })
        .await;
        for _ in 0..5 {
            cart.show().await.ok();
            shop.send(customer.asks(axum::http::Request::get("/v1/me")))
                .await
                .ok();
        }
        until("the lists above their share are refused", async || {
            use api::database::Class::{Browse, Search};
            let waiting = [Browse, Search].map(|class| shop.state.database.class_use(class).unwrap().waiting);
            (waiting == [0, 0]).then_some(())
        })
        .await;
        execute(&mut blocker, "rollback").await;
    };
    let (lists, ()) = tokio::join!(lists, others);
    let served = lists.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(
        served, 6,
        "5 browse or 4, 2 search or 1, and no more of both than 6"
    );
    for refused in lists.iter().filter(|answer| answer.status != 200) {
        refused.problem(503, "overloaded");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
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
    match api::state::assemble(&settings) {
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
