//! Who oversells: the arms of `stock` in an interleaving that the test holds in its hands, and in a crowd.

use futures_util::future::join_all;
use sqlx::Connection;

use super::shopping::{Shop, expect};
use crate::support::arms::{arm, arms_of, lesson};
use crate::support::database::execute;
use crate::support::gateway::Mood;
use crate::support::shop::Changes;
use crate::support::until;

/// Two buyers, one unit. The test has locked the unit's row, so that both orders stop where they take it, whatever the
/// machine does. Returns how many got it.
async fn sold_of_one(stock: &str) -> (usize, Shop) {
    let variants = arm(lesson("stock"), stock);
    let shop = Shop::with(variants, Changes::default().set("--database-connections", 4)).await;
    shop.set_stock("SKU-1-0", 1).await;
    let mut carts = Vec::new();
    for _ in 0..2 {
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        carts.push((buyer, cart));
    }
    let mut holder = shop.database.connect().await;
    execute(
        &mut holder,
        "begin; select from variants where sku = 'SKU-1-0' for update",
    )
    .await;
    let buying = join_all(carts.iter().map(|(buyer, cart)| shop.buy(buyer, *cart)));
    let (answers, ()) = tokio::join!(buying, async {
        until("both orders wait", async || {
            let waiting = "select count(*) from pg_stat_activity
                           where datname = current_database() and wait_event_type = 'Lock'";
            (shop.database.number(waiting).await == 2).then_some(())
        })
        .await;
        execute(&mut holder, "commit").await;
    });
    holder.close().await.unwrap();
    let sold = answers.iter().filter(|answer| answer.status == 201).count();
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.problem(409, "insufficient_stock");
    }
    assert_eq!(
        shop.stock("SKU-1-0").await,
        0,
        "never below zero, whatever was sold"
    );
    assert_eq!(shop.sold("SKU-1-0").await, sold as i64);
    (sold, shop)
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn read_then_write_sells_the_last_unit_twice() {
    let (sold, _) = sold_of_one("read_then_write").await;
    assert_eq!(sold, 2);
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn a_row_lock_sells_the_last_unit_once() {
    for arm in ["row_lock", "row_lock_through_payment"] {
        let (sold, _) = sold_of_one(arm).await;
        assert_eq!(sold, 1, "{arm}");
    }
}

#[tokio::test]
async fn conditional_sells_the_last_unit_once() {
    let (sold, shop) = sold_of_one("conditional").await;
    assert_eq!(sold, 1);
    assert_eq!(
        shop.gateway.payments(),
        1,
        "nobody is charged for what isn't there"
    );
}

/// Whether another order of the same SKU gets through while one waits for its payment.
async fn passes_a_payment_under_way(stock: &str) -> bool {
    let variants = arm(lesson("stock"), stock);
    let shop = Shop::with(variants, Changes::default().set("--database-connections", 4)).await;
    shop.set_stock("SKU-1-0", 10).await;
    let (one, other) = (shop.customer().await, shop.customer().await);
    let (first, second) = (
        shop.cart(&one, &[("SKU-1-0", 1)]).await,
        shop.cart(&other, &[("SKU-1-0", 1)]).await,
    );
    shop.gateway.is(Mood::Silent);
    let both = async { tokio::join!(shop.buy(&one, first), shop.buy(&other, second)) };
    let looking = async {
        let passes = until(
            "the second is at the gateway, or waits for the first",
            async || {
                let waiting = "select count(*) from pg_stat_activity
                           where datname = current_database() and wait_event_type = 'Lock'";
                let waits = shop.database.number(waiting).await > 0;
                match (shop.gateway.payments(), waits) {
                    (2, _) => Some(true),
                    (1, true) => Some(false),
                    _ => None,
                }
            },
        )
        .await;
        shop.gateway.is(Mood::Well);
        passes
    };
    let ((one, other), passes) = tokio::join!(both, looking);
    expect(one, 201);
    expect(other, 201);
    assert_eq!(shop.stock("SKU-1-0").await, 8);
    passes
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn a_row_lock_through_the_payment_makes_others_wait_for_it() {
    assert!(!passes_a_payment_under_way("row_lock_through_payment").await);
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn a_row_lock_in_a_short_transaction_lets_others_pass_a_payment() {
    assert!(passes_a_payment_under_way("row_lock").await);
}

#[tokio::test]
async fn conditional_lets_others_pass_a_payment() {
    assert!(passes_a_payment_under_way("conditional").await);
}

#[tokio::test]
async fn a_crowd_gets_what_is_there_and_not_one_more() {
    for variants in arms_of("stock") {
        if variants.stock.as_str() == "read_then_write" {
            continue; // it promises nothing here
        }
        let shop = Shop::with(variants, Changes::default().set("--database-connections", 6)).await;
        shop.set_stock("SKU-1-0", 12).await;
        shop.set_stock("SKU-2-0", 100).await;
        let buyer = shop.customer().await;
        let mut carts = Vec::new();
        for number in 0..40 {
            // In both orders, so that careless locking would deadlock.
            let items = [("SKU-1-0", 1), ("SKU-2-0", 2)];
            let items = if number % 2 == 0 {
                items
            } else {
                [items[1], items[0]]
            };
            carts.push(shop.cart(&buyer, &items).await);
        }
        let answers = join_all(carts.iter().map(|cart| shop.buy(&buyer, *cart))).await;
        let sold = answers.iter().filter(|answer| answer.status == 201).count();
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            answer.problem(409, "insufficient_stock");
        }
        assert_eq!(sold, 12, "{variants}");
        assert_eq!(
            (shop.stock("SKU-1-0").await, shop.stock("SKU-2-0").await),
            (0, 76)
        );
        assert_eq!((shop.sold("SKU-1-0").await, shop.sold("SKU-2-0").await), (12, 24));
        assert_eq!(
            (shop.gateway.payments(), shop.gateway.count("authorized")),
            (12, 12)
        );
    }
}

#[tokio::test]
async fn how_many_statements_an_order_takes() {
    for (stock, statements) in [
        // The cart; begin, order, lines, stock, commit; paid.
        ("conditional", 7),
        ("read_then_write", 8),
        ("row_lock", 8),
        ("row_lock_through_payment", 8),
    ] {
        if !crate::support::arms::has_arm("stock", stock) {
            continue;
        }
        let mut shop = Shop::with(arm(lesson("stock"), stock), Changes::default()).await;
        shop.shop.stop_following_the_epoch().await;
        shop.set_stock("SKU-1-0", 10).await;
        shop.set_stock("SKU-1-1", 10).await;
        let buyer = shop.customer().await;
        for items in [&[("SKU-1-0", 1)][..], &[("SKU-1-0", 1), ("SKU-1-1", 2)]] {
            let cart = shop.cart(&buyer, items).await;
            assert_eq!(
                expect(shop.buy(&buyer, cart).await, 201).statements(),
                statements,
                "{stock}"
            );
        }
        // Sold out is one look.
        shop.set_stock("SKU-1-0", 0).await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        assert_eq!(shop.buy(&buyer, cart).await.statements(), 1);
    }
}
