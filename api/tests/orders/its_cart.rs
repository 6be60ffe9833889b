//! An order, and who wants its cart at the same moment: each waits for the other, and looks again.

use std::pin::pin;

use axum::http::Request;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::shopping::{Buyer, Shop, expect, order, with};
use crate::support::answer::Answer;
use crate::support::arms::arms_of;
use crate::support::database::execute;
use crate::support::shop::Changes;
use crate::support::until;

async fn shops() -> Vec<Shop> {
    let mut shops = Vec::new();
    for variants in arms_of("stock") {
        let shop = Shop::with(variants, Changes::default().set("--database-connections", 4)).await;
        shop.database
            .execute(
                "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day');
                 insert into coupons (code, percent, valid_until) values ('TWENTY', 20, now() + interval '1 day')",
            )
            .await;
        shop.set_stock("SKU-1-0", 10).await;
        shop.set_stock("SKU-1-1", 10).await;
        shops.push(shop);
    }
    shops
}

/// A transaction of somebody else's, which has done this and isn't finished.
async fn begun(shop: &Shop, sql: &str) -> PgConnection {
    let mut other = shop.database.connect().await;
    execute(&mut other, &format!("begin; {sql}")).await;
    other
}

async fn until_so_many_wait(shop: &Shop, wanted: i64) {
    until("everybody waits who should", async || {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        (shop.database.number(waiting).await == wanted).then_some(())
    })
    .await;
}

/// The order of a cart, and what is asked for while it is reserved and not committed: the cart's coupon is held until
/// both wait, the order for the coupon and the other for the order.
async fn while_it_is_ordered(
    shop: &Shop,
    buyer: &Buyer,
    cart: Uuid,
    other: impl Future<Output = Answer>,
) -> (Answer, Answer) {
    shop.database
        .execute(&format!(
            "update carts set coupon_code = 'TEN' where id = '{cart}'"
        ))
        .await;
    let mut holder = begun(shop, "select from coupons where code = 'TEN' for update").await;
    tokio::join!(shop.buy(buyer, cart), async {
        until_so_many_wait(shop, 1).await;
        let (other, both) = (pin!(other), pin!(until_so_many_wait(shop, 2)));
        match select(other, both).await {
            Either::Left((answer, _)) => panic!("it did not wait for the order: {}", answer.text()),
            Either::Right(((), other)) => {
                execute(&mut holder, "commit").await;
                other.await
            }
        }
    })
}

/// SKUs and quantities of an order, by SKU.
fn bought(order: &Value) -> Vec<(&str, i64)> {
    let items = order["items"].as_array().unwrap().iter();
    let mut bought: Vec<_> = items
        .map(|item| (item["sku"].as_str().unwrap(), item["quantity"].as_i64().unwrap()))
        .collect();
    bought.sort_unstable();
    bought
}

async fn left_in(shop: &Shop, cart: Uuid) -> Value {
    shop.database
        .json(&format!(
            "select jsonb_build_object('coupon', (select coupon_code from carts where id = '{cart}'), 'items',
                 (select jsonb_agg(jsonb_build_array(sku, quantity) order by sku)
                  from cart_items join variants on variants.id = variant_id where cart_id = '{cart}'))"
        ))
        .await
}

#[tokio::test]
async fn no_write_to_it_is_taken_once_it_is_being_ordered() {
    for shop in shops().await {
        for write in ["more", "other", "none", "coupon", "no coupon"] {
            let buyer = shop.customer().await;
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            let of_cart = |rest: &str| format!("/v1/carts/{cart}/{rest}");
            let (one, two) = (of_cart("items/SKU-1-0"), of_cart("items/SKU-1-1"));
            let (request, body) = match write {
                "more" => (Request::put(one), json!({ "quantity": 2 })),
                "other" => (Request::put(two), json!({ "quantity": 1 })),
                "none" => (Request::put(one), json!({ "quantity": 0 })),
                "coupon" => (Request::put(of_cart("coupon")), json!({ "code": "TWENTY" })),
                _ => (Request::delete(of_cart("coupon")), Value::Null),
            };
            let request = buyer.identify(request);
            let write = async {
                match body {
                    Value::Null => shop.send(request).await,
                    body => shop.send_json(request, &body).await,
                }
            };
            let (placed, refused) = while_it_is_ordered(&shop, &buyer, cart, write).await;
            refused.problem(409, "cart_ordered");
            assert_eq!(bought(&expect(placed, 201).json()), [("SKU-1-0", 1)]);
            let as_ordered = json!({ "coupon": "TEN", "items": [["SKU-1-0", 1]] });
            assert_eq!(left_in(&shop, cart).await, as_ordered, "{}", shop.variants);
        }
    }
}

#[tokio::test]
async fn a_second_order_of_it_waits_and_is_told() {
    for shop in shops().await {
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let (one, other) = while_it_is_ordered(&shop, &buyer, cart, shop.buy(&buyer, cart)).await;
        expect(one, 201);
        other.problem(409, "cart_ordered");
        assert_eq!((shop.orders().await, shop.stock("SKU-1-0").await), (1, 9));
    }
}

#[tokio::test]
async fn what_was_put_in_while_its_order_waited_is_ordered_at_its_price() {
    for shop in shops().await {
        let buyer = shop.customer().await;
        // The second was told a price.
        for expected in [None, Some(9799 + 495)] {
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            let mut body = order(cart);
            if let Some(amount) = expected {
                let money = json!({ "amount": amount, "currency": "EUR" });
                body = with(body, "expected_total", money);
            }
            let put_in = format!(
                "update carts set updated_at = clock_timestamp() where id = '{cart}';
                 insert into cart_items (cart_id, variant_id, quantity)
                 select '{cart}', id, 2 from variants where sku = 'SKU-1-1'"
            );
            let mut other = begun(&shop, &put_in).await;
            let key = Uuid::now_v7().to_string();
            let (placed, ()) = tokio::join!(shop.place(&buyer, &key, &body), async {
                until_so_many_wait(&shop, 1).await;
                execute(&mut other, "commit").await;
            });
            if expected.is_some() {
                placed.problem(409, "cart_changed");
                continue;
            }
            let placed = expect(placed, 201).json();
            assert_eq!(
                bought(&placed),
                [("SKU-1-0", 1), ("SKU-1-1", 2)],
                "{}",
                shop.variants
            );
            assert_eq!(placed["totals"]["subtotal"]["amount"], 9799 + 2 * 9949);
        }
        assert_eq!((shop.orders().await, shop.stock("SKU-1-1").await), (1, 8));
        assert_eq!(shop.gateway.payments(), 1);
    }
}

#[tokio::test]
async fn when_it_was_merged_away_while_its_order_waited_nothing_is_ordered() {
    for shop in shops().await {
        let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
        let mut other = begun(&shop, &format!("delete from carts where id = '{cart}'")).await;
        let (placed, ()) = tokio::join!(shop.buy(&Buyer::Guest, cart), async {
            until_so_many_wait(&shop, 1).await;
            execute(&mut other, "commit").await;
        });
        placed.problem(404, "not_found");
        let kept = "select (select count(*) from orders) + (select count(*) from idempotency_keys)";
        assert_eq!(shop.database.number(kept).await, 0, "{}", shop.variants);
        assert_eq!((shop.stock("SKU-1-0").await, shop.gateway.asked()), (10, 0));
    }
}

const PASSWORD: &str = "correct horse battery";

/// Somebody with a password, signed in.
async fn ada(shop: &Shop) -> Buyer {
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

/// As Ada, with what the request brings along.
async fn sign_in(shop: &Shop, request: axum::http::request::Builder) -> Answer {
    let credentials = json!({ "email": "ada@example.com", "password": PASSWORD });
    shop.send_json(request, &credentials).await
}

#[tokio::test]
async fn a_guest_who_signs_in_meanwhile_has_the_order_and_not_its_items_again() {
    for shop in shops().await {
        ada(&shop).await;
        let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
        let signing_in = sign_in(&shop, Buyer::Guest.identify(Request::post("/v1/sessions")));
        let (placed, signed_in) = while_it_is_ordered(&shop, &Buyer::Guest, cart, signing_in).await;
        expect(placed, 201);
        assert_eq!(expect(signed_in, 201).json()["cart_id"], Value::Null);
        let still = format!("select count(*) from carts where id = '{cart}' and customer_id is null");
        assert_eq!(shop.database.number(&still).await, 1, "{}", shop.variants);
    }
}

#[tokio::test]
async fn what_a_guest_brings_along_meanwhile_stays_a_cart_of_its_own() {
    for shop in shops().await {
        let ada = ada(&shop).await;
        let own = shop.cart(&ada, &[("SKU-1-0", 1)]).await;
        let guests = shop.cart(&Buyer::Guest, &[("SKU-1-1", 2)]).await;
        let signing_in = sign_in(&shop, Buyer::Guest.identify(Request::post("/v1/sessions")));
        let (placed, signed_in) = while_it_is_ordered(&shop, &ada, own, signing_in).await;
        assert_eq!(bought(&expect(placed, 201).json()), [("SKU-1-0", 1)]);
        assert_eq!(expect(signed_in, 201).json()["cart_id"], json!(guests));
        assert_eq!(
            left_in(&shop, guests).await,
            json!({ "coupon": null, "items": [["SKU-1-1", 2]] })
        );
    }
}
