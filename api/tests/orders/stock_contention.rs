//! Orders that wait for the stock of a contended SKU: their locks and connections, and their price
//! afterwards.

use futures_util::future::join_all;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::shop::{Buyer, Shop, expect, order, with};
use crate::support::arms::each_arm;
use crate::support::database::{WAITING_FOR_LOCK, execute};
use crate::support::shop::Changes;
use crate::support::until;

/// Locks the row of a SKU in another connection.
async fn lock(shop: &Shop, sku: &str) -> PgConnection {
    let mut holder = shop.database.connect().await;
    let sql = format!("begin; select from variants where sku = '{sku}' for update");
    execute(&mut holder, &sql).await;
    holder
}

/// Waits until an order has waited longer than the price validity.
async fn until_one_has_waited(shop: &Shop) {
    let waited =
        format!("{WAITING_FOR_LOCK} and clock_timestamp() - query_start > interval '100 milliseconds'");
    until("an order has waited", async || {
        (shop.database.number(&waited).await == 1).then_some(())
    })
    .await;
}

async fn put_coupon(shop: &Shop, cart: Uuid) {
    let sql = format!("update carts set coupon_code = 'TEN' where id = '{cart}'");
    shop.database.execute(&sql).await;
}

async fn shop_with_coupon() -> Shop {
    let changes = Changes::default()
        .set("--database-connections", 4)
        .set("--price-validity-ms", 50);
    let shop = Shop::with(changes).await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day');
             update variants set stock_quantity = 10 where sku in ('SKU-1-0', 'SKU-2-0')",
        )
        .await;
    shop
}

#[tokio::test]
async fn an_order_that_waits_for_its_stock_does_not_hold_its_coupon() {
    each_arm("stock", async || {
        let shop = shop_with_coupon().await;
        let (one, other) = (shop.customer().await, shop.customer().await);
        let first = shop.cart(&one, &[("SKU-1-0", 1)]).await;
        let second = shop.cart(&other, &[("SKU-2-0", 1)]).await;
        put_coupon(&shop, first).await;
        put_coupon(&shop, second).await;
        let mut holder = lock(&shop, "SKU-1-0").await;
        let (waited, ()) = tokio::join!(shop.buy(&one, first), async {
            shop.database.until_waiting_for_lock(1).await;
            shop.database
                .execute("select from coupons where code = 'TEN' for update nowait")
                .await;
            expect(shop.buy(&other, second).await, 201);
            assert_eq!(shop.database.waiting_for_lock().await, 1);
            execute(&mut holder, "commit").await;
        });
        expect(waited, 201);
        assert_eq!(shop.database.number("select uses from coupons").await, 2);
    })
    .await;
}

/// Runs an order, with a change made while it waits for its stock.
async fn order_during_change(
    change: &str,
    expected_total: bool,
) -> (Shop, crate::support::response::TestResponse) {
    let shop = shop_with_coupon().await;
    shop.database
        .execute("update variants set price_cents = 1000 where sku = 'SKU-1-0'")
        .await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let mut body = order(cart);
    if expected_total {
        body = with(
            body,
            "expected_total",
            serde_json::json!({ "amount": 1495, "currency": "EUR" }),
        );
    }
    let mut holder = lock(&shop, "SKU-1-0").await;
    let (response, ()) = tokio::join!(shop.place(&buyer, "key", &body), async {
        until_one_has_waited(&shop).await;
        execute(&mut holder, change).await;
        execute(&mut holder, "commit").await;
    });
    (shop, response)
}

const PRICE_INCREASE: &str = "update variants set price_cents = 2000 where sku = 'SKU-1-0'";
const DEACTIVATION: &str = "update products set active = false where slug = 'product-1'";
const CURRENCY_CHANGE: &str = "update products set currency = 'USD' where slug = 'product-1'";

#[tokio::test]
async fn an_order_that_waited_is_not_sold_at_an_outdated_price() {
    each_arm("stock", async || {
        for change in [PRICE_INCREASE, DEACTIVATION, CURRENCY_CHANGE] {
            let (shop, response) = order_during_change(change, true).await;
            response.problem(409, "cart_changed");
            assert_eq!((shop.order_count().await, shop.stock("SKU-1-0").await), (0, 10));
            assert_eq!(shop.gateway.payment_count(), 0, "{change}");
        }
        let (shop, response) = order_during_change(PRICE_INCREASE, false).await;
        let placed = expect(response, 201).json();
        assert_eq!(placed["totals"]["total"]["amount"], 2495, "priced again");
        assert_eq!((shop.order_count().await, shop.stock("SKU-1-0").await), (1, 9));
    })
    .await;
}

/// The statement that reserves stock locks its rows in the lock order, for any number and order of lines in
/// the cart: while it waits for one row, later rows are free and earlier ones are locked.
#[tokio::test]
async fn stock_is_reserved_in_the_lock_order() {
    let changes = Changes::default().set("--database-connections", 4);
    let shop = Shop::with(changes).await;
    shop.database
        .execute("update variants set stock_quantity = 10; analyze variants")
        .await;
    for lines in [2, 3, 4, 60] {
        let skus = shop
            .database
            .json(&format!(
                "select jsonb_agg(sku order by product_id, id) from (
                     select variants.* from variants join products on products.id = product_id
                     where active and currency = 'EUR' order by sku limit {lines}) v"
            ))
            .await;
        let skus: Vec<&str> = skus
            .as_array()
            .unwrap()
            .iter()
            .map(|sku| sku.as_str().unwrap())
            .collect();
        let buyer = shop.customer().await;
        let mut items: Vec<(&str, u32)> = skus.iter().map(|sku| (*sku, 1)).collect();
        items.reverse();
        let cart = shop.cart(&buyer, &items).await;
        let middle = skus.len() / 2;
        let mut holder = lock(&shop, skus[middle]).await;
        let (placed, ()) = tokio::join!(shop.buy(&buyer, cart), async {
            shop.database.until_waiting_for_lock(1).await;
            let mut other = shop.database.connect().await;
            let free = format!(
                "select sku from variants where sku = any('{{{}}}') for update skip locked",
                skus.join(",")
            );
            let free: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(free))
                .fetch_all(&mut other)
                .await
                .unwrap();
            let mut free: Vec<&str> = free.iter().map(String::as_str).collect();
            let mut after: Vec<&str> = skus[middle + 1..].to_vec();
            free.sort_unstable();
            after.sort_unstable();
            assert_eq!(free, after, "{lines} lines");
            execute(&mut holder, "commit").await;
        });
        expect(placed, 201);
    }
}

#[tokio::test]
async fn orders_of_the_same_skus_and_last_units_do_not_deadlock() {
    assert_eq!(sold_without_deadlock().await, 24);
}

/// Orders 48 pairs of which 24 are in stock. Returns the number of orders.
pub async fn sold_without_deadlock() -> usize {
    let changes = Changes::default()
        .set("--database-connections", 8)
        .set("--sku-waiters", 1000);
    let shop = Shop::with(changes).await;
    shop.database
        .execute(
            "do $$ begin execute format('alter database %I set deadlock_timeout = ''50ms''', current_database()); end $$;
             update variants set stock_quantity = 12 where sku in ('SKU-2-0', 'SKU-2-1', 'SKU-5-0', 'SKU-5-1')",
        )
        .await;
    let buyer = shop.customer().await;
    let mut carts = Vec::new();
    for number in 0..48 {
        let pairs = [
            [("SKU-2-0", 1), ("SKU-5-1", 1)],
            [("SKU-5-0", 1), ("SKU-2-1", 1)],
            [("SKU-2-1", 1), ("SKU-2-0", 1)],
            [("SKU-5-1", 1), ("SKU-5-0", 1)],
        ];
        carts.push(shop.cart(&buyer, &pairs[number % 4]).await);
    }
    let responses = join_all(carts.iter().map(|cart| shop.buy(&buyer, *cart))).await;
    let sold = responses.iter().filter(|response| response.status == 201).count();
    for response in responses.iter().filter(|response| response.status != 201) {
        response.problem(409, "insufficient_stock");
    }
    // A backend reports its statistics at the latest when it exits.
    shop.state.database.close().await;
    until("the shop's backends have ended", async || {
        let backends = "select count(*) from pg_stat_activity
                        where datname = current_database() and application_name = 'backstock-api'";
        (shop.database.number(backends).await == 0).then_some(())
    })
    .await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(shop.database.number(deadlocks).await, 0);
    sold
}

#[tokio::test]
async fn buyers_of_one_sku_wait_without_a_connection() {
    assert_eq!(stock_after_twenty_waited().await, 0);
}

/// Twenty buyers want a SKU with twenty units whose row is locked, with eight connections. Returns the stock
/// that is left.
pub async fn stock_after_twenty_waited() -> i64 {
    let changes = Changes::default()
        .set("--database-connections", 8)
        .set("--database-statement-timeout-ms", 60_000)
        .set("--database-lock-timeout-ms", 60_000);
    let shop = Shop::with(changes).await;
    shop.set_stock("SKU-1-0", 20).await;
    shop.set_stock("SKU-2-0", 20).await;
    let mut carts = Vec::new();
    for _ in 0..20 {
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        carts.push((buyer, cart));
    }
    let mut holder = lock(&shop, "SKU-1-0").await;
    let buying = join_all(carts.iter().map(|(buyer, cart)| shop.buy(buyer, *cart)));
    let (responses, ()) = tokio::join!(buying, async {
        shop.database.until_waiting_for_lock(2).await;
        // More orders than connections, in sequence, while the queue of the hot SKU is full.
        for _ in 0..10 {
            let other = shop.customer().await;
            let cart = shop.cart(&other, &[("SKU-2-0", 1)]).await;
            let get = other.identify(axum::http::Request::get(format!("/v1/carts/{cart}")));
            shop.send(get).await.ok();
            expect(shop.buy(&other, cart).await, 201);
            assert_eq!(shop.database.waiting_for_lock().await, 2);
        }
        execute(&mut holder, "commit").await;
    });
    for response in responses {
        expect(response, 201);
    }
    assert_eq!(
        (shop.sold("SKU-1-0").await, shop.stock("SKU-2-0").await),
        (20, 10)
    );
    shop.stock("SKU-1-0").await
}

#[tokio::test]
async fn a_buyer_who_waits_too_long_is_shed() {
    let changes = Changes::default()
        .set("--database-connections", 8)
        .set("--sku-queue-timeout-ms", 50);
    let shop = Shop::with(changes).await;
    shop.set_stock("SKU-1-0", 20).await;
    let buyer = Buyer::Guest;
    let mut carts = Vec::new();
    for _ in 0..5 {
        carts.push(shop.cart(&buyer, &[("SKU-1-0", 1)]).await);
    }
    let mut holder = lock(&shop, "SKU-1-0").await;
    let first = async { tokio::join!(shop.buy(&buyer, carts[0]), shop.buy(&buyer, carts[1])) };
    let rest = async {
        shop.database.until_waiting_for_lock(2).await;
        for cart in &carts[2..] {
            let response = shop.buy(&buyer, *cart).await;
            response.problem(503, "overloaded");
            assert!(response.header("retry-after").is_some());
        }
        execute(&mut holder, "commit").await;
    };
    let ((one, two), ()) = tokio::join!(first, rest);
    expect(one, 201);
    expect(two, 201);
    assert_eq!(shop.stock("SKU-1-0").await, 18);
    expect(shop.buy(&buyer, carts[2]).await, 201);
}
