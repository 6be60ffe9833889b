//! Races between an order and other writes to its cart: they are serialized, and the second one checks again.

use std::pin::pin;

use axum::http::Request;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::shop::{Buyer, Shop, expect, order, with};
use crate::support::arms::each_arm;
use crate::support::database::execute;
use crate::support::response::TestResponse;
use crate::support::shop::Changes;

async fn shop() -> Shop {
    let shop = Shop::with(Changes::default().set("--database-connections", 4)).await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day');
             insert into coupons (code, percent, valid_until) values ('TWENTY', 20, now() + interval '1 day')",
        )
        .await;
    shop.set_stock("SKU-1-0", 10).await;
    shop.set_stock("SKU-1-1", 10).await;
    shop
}

/// An open transaction of another client, after this statement.
async fn open_transaction(shop: &Shop, sql: &str) -> PgConnection {
    let mut other = shop.database.connect().await;
    execute(&mut other, &format!("begin; {sql}")).await;
    other
}

/// Runs an order and another request concurrently. A lock on the cart's coupon holds the order between its
/// reservation and commit until both wait: the order for the coupon, the other request for the order.
async fn during_order(
    shop: &Shop,
    buyer: &Buyer,
    cart: Uuid,
    other: impl Future<Output = TestResponse>,
) -> (TestResponse, TestResponse) {
    shop.database
        .execute(&format!(
            "update carts set coupon_code = 'TEN' where id = '{cart}'"
        ))
        .await;
    let mut holder = open_transaction(shop, "select from coupons where code = 'TEN' for update").await;
    tokio::join!(shop.buy(buyer, cart), async {
        shop.database.until_waiting_for_lock(1).await;
        let (other, both) = (pin!(other), pin!(shop.database.until_waiting_for_lock(2)));
        match select(other, both).await {
            Either::Left((response, _)) => panic!("it did not wait for the order: {}", response.text()),
            Either::Right(((), other)) => {
                execute(&mut holder, "commit").await;
                other.await
            }
        }
    })
}

/// The SKUs and quantities of an order, sorted by SKU.
fn ordered_items(order: &Value) -> Vec<(&str, i64)> {
    let items = order["items"].as_array().unwrap().iter();
    let mut ordered_items: Vec<_> = items
        .map(|item| (item["sku"].as_str().unwrap(), item["quantity"].as_i64().unwrap()))
        .collect();
    ordered_items.sort_unstable();
    ordered_items
}

async fn cart_content(shop: &Shop, cart: Uuid) -> Value {
    shop.database
        .json(&format!(
            "select jsonb_build_object('coupon', (select coupon_code from carts where id = '{cart}'), 'items',
                 (select jsonb_agg(jsonb_build_array(sku, quantity) order by sku)
                  from cart_items join variants on variants.id = variant_id where cart_id = '{cart}'))"
        ))
        .await
}

#[tokio::test]
async fn writes_to_a_cart_are_rejected_while_it_is_ordered() {
    each_arm("stock", async || {
        let shop = shop().await;
        for write in ["more", "other", "none", "coupon", "no coupon"] {
            let buyer = shop.customer().await;
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            let cart_path = |rest: &str| format!("/v1/carts/{cart}/{rest}");
            let (one, two) = (cart_path("items/SKU-1-0"), cart_path("items/SKU-1-1"));
            let (request, body) = match write {
                "more" => (Request::put(one), json!({ "quantity": 2 })),
                "other" => (Request::put(two), json!({ "quantity": 1 })),
                "none" => (Request::put(one), json!({ "quantity": 0 })),
                "coupon" => (Request::put(cart_path("coupon")), json!({ "code": "TWENTY" })),
                _ => (Request::delete(cart_path("coupon")), Value::Null),
            };
            let request = buyer.identify(request);
            let write = async {
                match body {
                    Value::Null => shop.send(request).await,
                    body => shop.send_json(request, &body).await,
                }
            };
            let (placed, rejected) = during_order(&shop, &buyer, cart, write).await;
            rejected.problem(409, "cart_ordered");
            assert_eq!(ordered_items(&expect(placed, 201).json()), [("SKU-1-0", 1)]);
            let as_ordered = json!({ "coupon": "TEN", "items": [["SKU-1-0", 1]] });
            assert_eq!(cart_content(&shop, cart).await, as_ordered);
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_order_of_a_cart_waits_and_is_rejected() {
    each_arm("stock", async || {
        let shop = shop().await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let (one, other) = during_order(&shop, &buyer, cart, shop.buy(&buyer, cart)).await;
        expect(one, 201);
        other.problem(409, "cart_ordered");
        assert_eq!((shop.order_count().await, shop.stock("SKU-1-0").await), (1, 9));
    })
    .await;
}

#[tokio::test]
async fn an_item_added_while_the_order_waits_is_ordered_at_its_price() {
    each_arm("stock", async || {
        let shop = shop().await;
        let buyer = shop.customer().await;
        // The second order expects the total of the smaller cart.
        for expected in [None, Some(9799 + 495)] {
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            let mut body = order(cart);
            if let Some(amount) = expected {
                let money = json!({ "amount": amount, "currency": "EUR" });
                body = with(body, "expected_total", money);
            }
            let add_item = format!(
                "update carts set updated_at = clock_timestamp() where id = '{cart}';
                 insert into cart_items (cart_id, variant_id, quantity)
                 select '{cart}', id, 2 from variants where sku = 'SKU-1-1'"
            );
            let mut other = open_transaction(&shop, &add_item).await;
            let key = Uuid::now_v7().to_string();
            let (placed, ()) = tokio::join!(shop.place(&buyer, &key, &body), async {
                shop.database.until_waiting_for_lock(1).await;
                execute(&mut other, "commit").await;
            });
            if expected.is_some() {
                placed.problem(409, "cart_changed");
                continue;
            }
            let placed = expect(placed, 201).json();
            assert_eq!(ordered_items(&placed), [("SKU-1-0", 1), ("SKU-1-1", 2)]);
            assert_eq!(placed["totals"]["subtotal"]["amount"], 9799 + 2 * 9949);
        }
        assert_eq!((shop.order_count().await, shop.stock("SKU-1-1").await), (1, 8));
        assert_eq!(shop.gateway.payment_count(), 1);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_ordered_if_the_cart_was_merged_while_the_order_waits() {
    each_arm("stock", async || {
        let shop = shop().await;
        let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
        let mut other = open_transaction(&shop, &format!("delete from carts where id = '{cart}'")).await;
        let (placed, ()) = tokio::join!(shop.buy(&Buyer::Guest, cart), async {
            shop.database.until_waiting_for_lock(1).await;
            execute(&mut other, "commit").await;
        });
        placed.problem(404, "not_found");
        let rows = "select (select count(*) from orders) + (select count(*) from idempotency_keys)";
        assert_eq!(shop.database.number(rows).await, 0);
        assert_eq!(
            (shop.stock("SKU-1-0").await, shop.gateway.authorizations()),
            (10, 0)
        );
    })
    .await;
}

const PASSWORD: &str = "correct horse battery";

/// Registers and signs in a customer with a password.
async fn register_ada(shop: &Shop) -> Buyer {
    let account = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    let registered = shop.send_json(Request::post("/v1/accounts"), &account).await;
    assert_eq!(registered.status, 201, "{}", registered.text());
    let signed_in = sign_in(shop, Request::post("/v1/sessions")).await;
    let token = expect(signed_in, 201).json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let id = shop
        .database
        .json("select id from customers where name = 'Ada'")
        .await;
    Buyer::Customer {
        id: id.as_str().unwrap().parse().unwrap(),
        token,
    }
}

/// Signs in as Ada, with additional headers in the request.
async fn sign_in(shop: &Shop, request: axum::http::request::Builder) -> TestResponse {
    let credentials = json!({ "email": "ada@example.com", "password": PASSWORD });
    shop.send_json(request, &credentials).await
}

#[tokio::test]
async fn signing_in_while_the_guest_cart_is_ordered_does_not_merge_it() {
    each_arm("stock", async || {
        let shop = shop().await;
        register_ada(&shop).await;
        let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
        let signing_in = sign_in(&shop, Buyer::Guest.identify(Request::post("/v1/sessions")));
        let (placed, signed_in) = during_order(&shop, &Buyer::Guest, cart, signing_in).await;
        expect(placed, 201);
        assert_eq!(expect(signed_in, 201).json()["cart_id"], Value::Null);
        let unassigned = format!("select count(*) from carts where id = '{cart}' and customer_id is null");
        assert_eq!(shop.database.number(&unassigned).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_guest_cart_is_not_merged_into_a_cart_that_is_being_ordered() {
    each_arm("stock", async || {
        let shop = shop().await;
        let ada = register_ada(&shop).await;
        let own_cart = shop.cart(&ada, &[("SKU-1-0", 1)]).await;
        let guest_cart = shop.cart(&Buyer::Guest, &[("SKU-1-1", 2)]).await;
        let signing_in = sign_in(&shop, Buyer::Guest.identify(Request::post("/v1/sessions")));
        let (placed, signed_in) = during_order(&shop, &ada, own_cart, signing_in).await;
        assert_eq!(ordered_items(&expect(placed, 201).json()), [("SKU-1-0", 1)]);
        assert_eq!(expect(signed_in, 201).json()["cart_id"], json!(guest_cart));
        assert_eq!(
            cart_content(&shop, guest_cart).await,
            json!({ "coupon": null, "items": [["SKU-1-1", 2]] })
        );
    })
    .await;
}
