//! The number of statements of each arm of `order_lines`.

use super::shop::{Shop, expect};
use crate::support::arms::{arm, lesson};
use crate::support::shop::Changes;

/// The statements of orders with one, three and seven lines.
async fn statements(order_lines: &str) -> Vec<u64> {
    let shop = Shop::with(arm(lesson("order_lines"), order_lines), Changes::default()).await;
    shop.database
        .execute(
            "update variants set stock_quantity = 100; update products set currency = 'EUR', active = true",
        )
        .await;
    let buyer = shop.customer().await;
    let skus: Vec<String> = (1..=7).map(|number| format!("SKU-{number}-0")).collect();
    let mut statements = Vec::new();
    for lines in [1, 3, 7] {
        let items: Vec<(&str, u32)> = skus[..lines].iter().map(|sku| (sku.as_str(), 1)).collect();
        let cart = shop.cart(&buyer, &items).await;
        let placed = expect(shop.buy(&buyer, cart).await, 201);
        assert_eq!(placed.json()["items"].as_array().unwrap().len(), lines);
        statements.push(placed.statements());
    }
    let misplaced = "select count(*) from order_lines
                     where position <> (select count(*) from order_lines other
                                        where other.order_id = order_lines.order_id
                                          and other.position < order_lines.position)";
    assert_eq!(shop.database.number(misplaced).await, 0);
    statements
}

#[tokio::test]
async fn row_by_row_sends_a_statement_per_line() {
    assert_eq!(statements("row_by_row").await, [7, 9, 13]);
}

#[tokio::test]
async fn one_statement_sends_one_for_all_lines() {
    assert_eq!(statements("one_statement").await, [7, 7, 7]);
}
