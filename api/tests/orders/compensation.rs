//! Compensation succeeds even if its targets changed meanwhile: the coupon's counter was reset, the stock is
//! at its maximum, or the variant was deleted.

use serde_json::Value;

use super::cancellation::cancel;
use super::shop::{Buyer, Shop, expect, order, with};

async fn order_with_coupon(
    shop: &Shop,
    buyer: &Buyer,
    token: &str,
) -> crate::support::response::TestResponse {
    let cart = shop.cart(buyer, &[("SKU-1-0", 2)]).await;
    shop.database
        .execute(&format!(
            "update carts set coupon_code = 'TEN' where id = '{cart}'"
        ))
        .await;
    let body = with(order(cart), "payment_token", token);
    shop.place(buyer, &uuid::Uuid::now_v7().to_string(), &body).await
}

async fn shop() -> Shop {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 10).await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day')",
        )
        .await;
    shop
}

async fn status(shop: &Shop, order: &Value) -> Value {
    let id = order["id"].as_str().unwrap();
    shop.database
        .json(&format!("select status from orders where id = '{id}'"))
        .await
}

#[tokio::test]
async fn a_cancellation_succeeds_after_coupon_and_stock_were_changed() {
    for (change, stock) in [
        ("update coupons set uses = 0", 10),
        ("delete from coupons", 10),
        ("update variants set stock_quantity = 2147483646", 2_147_483_647),
    ] {
        let shop = shop().await;
        let buyer = shop.customer().await;
        let placed = expect(order_with_coupon(&shop, &buyer, "tok_ok").await, 201).json();
        shop.database.execute(change).await;
        let cancelled = cancel(&shop, &buyer, &placed).await.ok().json();
        assert_eq!(cancelled["status"], "cancelled", "{change}");
        assert_eq!(cancelled["coupon"], "TEN");
        assert_eq!(status(&shop, &placed).await, "cancelled");
        assert_eq!(shop.stock("SKU-1-0").await, stock, "{change}");
        assert_eq!(
            shop.database
                .number("select coalesce(sum(uses), 0) from coupons")
                .await,
            0
        );
    }
}

/// An import deletes variants that are missing from its file, even ordered ones, because an order line is a
/// copy.
#[tokio::test]
async fn a_sold_variant_can_be_deleted_and_its_orders_stay_complete() {
    let shop = shop().await;
    let buyer = shop.customer().await;
    let placed = expect(order_with_coupon(&shop, &buyer, "tok_ok").await, 201).json();
    shop.database
        .execute("delete from variants where sku = 'SKU-1-0'")
        .await;
    let cancelled = cancel(&shop, &buyer, &placed).await.ok().json();
    assert_eq!(cancelled["items"], placed["items"]);
    assert_eq!(cancelled["items"][0]["sku"], "SKU-1-0");
}

/// An order locks neither the rows of its products nor, through a foreign key, other rows of the catalogue.
#[tokio::test]
async fn order_lines_lock_no_row_of_the_catalogue() {
    let shop = shop().await;
    shop.set_stock("SKU-2-0", 10).await;
    let keys = "select jsonb_agg(conname order by conname) from pg_constraint
                where contype = 'f' and conrelid in ('order_lines'::regclass, 'orders'::regclass)";
    assert_eq!(
        shop.database.json(keys).await,
        serde_json::json!(["order_lines_order_id_fkey", "orders_customer_id_fkey"])
    );
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1), ("SKU-2-0", 1)]).await;
    let mut holder = shop.database.connect().await;
    crate::support::database::execute(&mut holder, "begin; select from products for update").await;
    expect(shop.buy(&buyer, cart).await, 201);
}
