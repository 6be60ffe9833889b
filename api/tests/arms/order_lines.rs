//! The number of statements of each arm of `order_lines`.

use crate::orders::shop::{Shop, expect};
use crate::support::arms::with_arm;

/// The statements of orders with one, three and seven lines.
async fn statements() -> Vec<u64> {
    let shop = Shop::start().await;
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
    let statements = with_arm("order_lines", "row_by_row", statements).await;
    assert_eq!(statements, [7, 9, 13]);
}

#[tokio::test]
async fn one_statement_sends_one_for_all_lines() {
    let statements = with_arm("order_lines", "one_statement", statements).await;
    assert_eq!(statements, [7, 7, 7]);
}
