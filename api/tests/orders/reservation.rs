//! The number of statements of an order, and that a conflict leaves nothing behind.

use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

use super::shop::{Buyer, Shop, expect};
use crate::support::response::TestResponse;

async fn shop() -> Shop {
    let shop = Shop::start().await;
    shop.database
        .execute(
            "update variants set stock_quantity = 100; update products set currency = 'EUR', active = true",
        )
        .await;
    shop
}

/// The statements of orders with one, three and four lines.
pub async fn statements() -> Vec<u64> {
    let shop = shop().await;
    let buyer = shop.customer().await;
    let skus: Vec<String> = (1..=4).map(|number| format!("SKU-{number}-0")).collect();
    let mut statements = Vec::new();
    for lines in [1, 3, 4] {
        let items: Vec<(&str, u32)> = skus[..lines].iter().map(|sku| (sku.as_str(), 1)).collect();
        let cart = shop.cart(&buyer, &items).await;
        let placed = expect(shop.buy(&buyer, cart).await, 201);
        assert_eq!(placed.json()["items"].as_array().unwrap().len(), lines);
        statements.push(placed.statements());
    }
    let taken = "select count(*) from variants where sku in ('SKU-1-0', 'SKU-2-0', 'SKU-3-0', 'SKU-4-0')
                 and stock_quantity = 100 - (select sum(quantity) from order_lines where variant_id = variants.id)";
    assert_eq!(shop.database.number(taken).await, 4);
    statements
}

#[tokio::test]
async fn up_to_three_lines_are_reserved_in_one_statement() {
    assert_eq!(statements().await, [3, 3, 7]);
}

/// Orders a cart while another session has changed what the order will lock, and commits when the order waits for it.
async fn buy_during(shop: &Shop, buyer: &Buyer, cart: Uuid, changes: &'static str) -> TestResponse {
    let mut other = shop.database.connect().await;
    let mut changing = other.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(changes))
        .execute(&mut *changing)
        .await
        .unwrap();
    let changed = async {
        shop.database.until_waiting_for_lock(1).await;
        changing.commit().await.unwrap();
    };
    let (placed, ()) = tokio::join!(shop.buy(buyer, cart), changed);
    placed
}

/// The last unit's triggers lock its product, too late for the single statement.
#[tokio::test]
async fn the_last_unit_is_sold_in_a_transaction_even_if_it_became_the_last_meanwhile() {
    let shop = shop().await;
    let execute = async |sql: &str| shop.database.execute(sql).await;
    execute("update variants set stock_quantity = 1 where sku = 'SKU-1-0'").await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    assert_eq!(expect(shop.buy(&buyer, cart).await, 201).statements(), 7);
    execute("update variants set stock_quantity = 2 where sku = 'SKU-1-0'").await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let sell_one = "update variants set stock_quantity = 1 where sku = 'SKU-1-0'";
    let placed = expect(buy_during(&shop, &buyer, cart, sell_one).await, 201);
    // The cart, the conflict, and the second attempt in a transaction.
    assert_eq!(placed.statements(), 2 + 7);
    let left = "select stock_quantity::bigint from variants where sku = 'SKU-1-0'";
    assert_eq!(shop.database.number(left).await, 0);
}

#[tokio::test]
async fn a_changed_cart_leaves_no_key_behind() {
    let shop = shop().await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let empty = "update carts set updated_at = updated_at + interval '1 second'; delete from cart_items";
    let placed = buy_during(&shop, &buyer, cart, empty).await;
    assert!(placed.status.is_client_error(), "an empty cart was ordered");
    let rows = "select (select count(*) from orders) + (select count(*) from idempotency_keys)";
    assert_eq!(shop.database.number(rows).await, 0);
}

#[tokio::test]
async fn a_changed_price_writes_nothing_and_the_next_attempt_sells_at_the_new_one() {
    let shop = shop().await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let reprice = "update variants set price_cents = price_cents + 100 where sku = 'SKU-1-0'";
    let placed = expect(buy_during(&shop, &buyer, cart, reprice).await, 201);
    assert_eq!(placed.statements(), 2 + 7);
    let rows = "select (select count(*) from orders) * 100 + (select count(*) from idempotency_keys) * 10
                     + (select count(*) from order_lines)";
    assert_eq!(shop.database.number(rows).await, 111);
    let sold_at = "select count(*) from order_lines join variants on variants.id = variant_id
                   where unit_price_cents = price_cents and stock_quantity = 99";
    assert_eq!(shop.database.number(sold_at).await, 1);
}
