//! The statements of an order are planned a few times per connection, and not for each order: planning takes longer than
//! running them.
//!
//! Postgres plans a prepared statement five times for its values. It keeps a plan for any values if that costs no more.

use super::shop::{Buyer, Shop, expect};
use crate::support::database::{Content, Database};
use crate::support::shop::Changes;

const ORDERS: i64 = 40;
const SKUS: [&str; 4] = ["SKU-1-0", "SKU-2-0", "SKU-3-0", "SKU-4-0"];

/// Five plans and the kept one on each of two connections, and some that an `analyze` invalidated.
const MAX_PLANS: i64 = 20;

/// A shop, which has two connections, in whose database plans are counted.
async fn shop(price_validity_ms: u32) -> Shop {
    let database = Database::new(Content::Catalogue).await;
    let count_plans = format!(
        "create extension if not exists pg_stat_statements;
         alter database {} set pg_stat_statements.track_planning = on;
         update variants set stock_quantity = 1000;
         update products set currency = 'EUR', active = true;
         insert into coupons (code, percent, valid_until) values ('HALF', 50, now() + interval '1 day')",
        database.name()
    );
    database.execute(&count_plans).await;
    let changes = Changes::default().set("--price-validity-ms", price_validity_ms);
    Shop::on(database, changes).await
}

/// Places orders one after the other. Returns the statements that were planned more often than [`MAX_PLANS`].
async fn planned_too_often(shop: &Shop, buyer: &Buyer, coupon: Option<&str>, skus: &[&str]) -> String {
    let items: Vec<(&str, u32)> = skus.iter().map(|sku| (*sku, 1)).collect();
    for _ in 0..ORDERS {
        let cart = shop.cart(buyer, &items).await;
        if let Some(code) = coupon {
            let sql = format!("update carts set coupon_code = '{code}' where id = '{cart}'");
            shop.database.execute(&sql).await;
        }
        expect(shop.buy(buyer, cart).await, 201);
    }
    let of_orders = "dbid = (select oid from pg_database where datname = current_database())
                     and query not like '%pg_stat_statements%' and query not like 'insert into cart%' and query not like 'update carts set coupon_code%'";
    let counted = format!(
        "select count(*) from pg_stat_statements where {of_orders} and plans > 0 and calls >= {ORDERS}"
    );
    assert!(
        shop.database.number(&counted).await >= 3,
        "an order has three statements at least"
    );
    let planned = format!(
        "select coalesce(string_agg(format('%s of %s: %s', plans, calls, query), E'\n'), '') from pg_stat_statements
         where {of_orders} and calls >= {MAX_PLANS} and plans > {MAX_PLANS}"
    );
    shop.database.json(&planned).await.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_order_keeps_the_plans_of_its_statements() {
    for buyer in ["guest", "customer"] {
        // In one statement, and in several that check the prices again, because reading the cart takes a millisecond.
        for price_validity_ms in [60_000, 1] {
            let shop = shop(price_validity_ms).await;
            let buyer = match buyer {
                "guest" => Buyer::Guest,
                _ => shop.customer().await,
            };
            let planned = planned_too_often(&shop, &buyer, None, &SKUS[..2]).await;
            assert_eq!(planned, "", "{buyer:?}, prices valid for {price_validity_ms} ms");
        }
    }
}

#[tokio::test]
async fn an_order_with_a_coupon_keeps_the_plans_of_its_statements() {
    let shop = shop(60_000).await;
    let planned = planned_too_often(&shop, &Buyer::Guest, Some("HALF"), &SKUS[..2]).await;
    assert_eq!(planned, "");
}

#[tokio::test]
async fn an_order_of_four_lines_keeps_the_plans_of_its_statements() {
    let shop = shop(60_000).await;
    assert_eq!(planned_too_often(&shop, &Buyer::Guest, None, &SKUS).await, "");
}
