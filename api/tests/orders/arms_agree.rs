//! All arms of a lesson answer alike, one request at a time: generated orders, replays, cancellations and lists walk
//! through all of them, over databases that begin alike.

#![cfg(feature = "baselines")]

use axum::http::Request;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::shopping::{Buyer, Shop, order, with};
use crate::support::answer::Answer;
use crate::support::arms::arms_of;
use crate::support::shop::Changes;

const SEQUENCES: u32 = 8;

/// Plenty, few, one, none, of a product that isn't sold, and in another currency.
const SKUS: [(&str, u32); 6] = [
    ("SKU-1-0", 1000),
    ("SKU-1-1", 7),
    ("SKU-2-0", 1),
    ("SKU-5-0", 0),
    ("SKU-11-0", 10),
    ("SKU-97-0", 10),
];

#[derive(Debug, Clone)]
enum Step {
    Place {
        guest: bool,
        items: Vec<(usize, u32)>,
        coupon: bool,
        token: &'static str,
        method: &'static str,
        again: bool,
    },
    Cancel(usize),
    Show(usize),
    List(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let items = prop::collection::vec((prop_oneof![6 => 0..3_usize, 1 => 3..6_usize], 1..4_u32), 0..4);
    let place = (
        any::<bool>(),
        items,
        prop::bool::weighted(0.3),
        prop_oneof![5 => Just("tok_ok"), 1 => Just("tok_declined"), 1 => Just("tok_unheard_of")],
        prop_oneof![Just("standard"), Just("express"), Just("teleport")],
        prop::bool::weighted(0.3),
    )
        .prop_map(|(guest, items, coupon, token, method, again)| Step::Place {
            guest,
            items,
            coupon,
            token,
            method,
            again,
        });
    let step = prop_oneof![
        6 => place,
        2 => (0..6_usize).prop_map(Step::Cancel),
        2 => (0..6_usize).prop_map(Step::Show),
        2 => prop_oneof![Just(""), Just("&status=paid"), Just("&status=cancelled")].prop_map(Step::List),
    ];
    prop::collection::vec(step, 4..14)
}

/// One shop's side of a sequence.
struct Walker<'s> {
    shop: &'s Shop,
    buyer: Buyer,
    /// Those that were made, with who may see them.
    orders: Vec<(Value, bool)>,
}

impl Walker<'_> {
    async fn step(&mut self, step: &Step) -> Vec<(u16, Value)> {
        match step {
            Step::Place {
                guest,
                items,
                coupon,
                token,
                method,
                again,
            } => {
                let buyer = if *guest { Buyer::Guest } else { self.buyer.clone() };
                let items: Vec<(&str, u32)> = items
                    .iter()
                    .map(|(sku, quantity)| (SKUS[*sku].0, *quantity))
                    .collect();
                let cart = self.shop.cart(&buyer, &without_twins(items)).await;
                if *coupon {
                    let sql = format!("update carts set coupon_code = 'TEN' where id = '{cart}'");
                    self.shop.database.execute(&sql).await;
                }
                let body = with(
                    with(order(cart), "payment_token", *token),
                    "shipping_method",
                    *method,
                );
                let key = Uuid::now_v7().to_string();
                let mut seen = Vec::new();
                for _ in 0..=usize::from(*again) {
                    let answer = self.shop.place(&buyer, &key, &body).await;
                    seen.push(content(&answer));
                    if answer.status == 201 {
                        self.orders.push((answer.json(), *guest));
                    }
                }
                if *again {
                    seen.push(content(&self.shop.buy(&buyer, cart).await));
                }
                seen
            }
            Step::Cancel(at) => self.of_order(*at, Request::post, "/cancel").await,
            Step::Show(at) => self.of_order(*at, Request::get, "").await,
            Step::List(filter) => {
                let request = Request::get(format!("/v1/orders?limit=3{filter}"));
                vec![content(&self.shop.send(self.buyer.identify(request)).await)]
            }
        }
    }

    async fn of_order(
        &self,
        at: usize,
        method: fn(String) -> axum::http::request::Builder,
        verb: &str,
    ) -> Vec<(u16, Value)> {
        let Some((order, guest)) = self.orders.get(at) else {
            return Vec::new();
        };
        let request = method(format!("/v1/orders/{}{verb}", order["id"].as_str().unwrap()));
        let request = match guest {
            true => request.header("x-order-token", order["order_token"].as_str().unwrap()),
            false => self.buyer.identify(request),
        };
        vec![content(&self.shop.send(request).await)]
    }

    async fn left(&self) -> Value {
        let sql = "select jsonb_build_object(
            'stock', (select jsonb_object_agg(sku, stock_quantity) from variants where stock_quantity > 2),
            'uses', (select sum(uses) from coupons),
            'orders', (select jsonb_agg(jsonb_build_array(status, total_cents) order by id) from orders),
            'lines', (select jsonb_agg(jsonb_build_array(position, sku, quantity, unit_price_cents)
                                       order by order_id, position) from order_lines))";
        self.shop.database.json(sql).await
    }
}

/// A cart has a SKU once.
fn without_twins(mut items: Vec<(&str, u32)>) -> Vec<(&str, u32)> {
    items.sort_unstable();
    items.dedup_by_key(|(sku, _)| *sku);
    items
}

/// Status and content, without what differs between any two orders.
fn content(answer: &Answer) -> (u16, Value) {
    fn forget(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if matches!(
                        name.as_str(),
                        "id" | "number" | "created_at" | "at" | "order_token" | "next" | "email"
                    ) {
                        *value = json!(value.is_null());
                    }
                    forget(value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(forget),
            _ => {}
        }
    }
    let mut body = answer.json();
    forget(&mut body);
    (answer.status.as_u16(), body)
}

async fn walk(shop: &Shop, steps: &[Step]) -> Vec<(u16, Value)> {
    let mut reset = "update coupons set uses = 0; delete from idempotency_keys; delete from order_lines; delete from orders;".to_owned();
    for (sku, units) in SKUS {
        reset += &format!("update variants set stock_quantity = {units} where sku = '{sku}';");
    }
    shop.database.execute(&reset).await;
    let mut walker = Walker {
        shop,
        buyer: shop.customer().await,
        orders: Vec::new(),
    };
    let mut seen = Vec::new();
    for step in steps {
        seen.extend(walker.step(step).await);
    }
    seen.push((0, walker.left().await));
    seen
}

/// `is_compared` leaves steps out whose answers depend on work that an arm does later.
fn assert_agree(lesson: &str, is_compared: fn(&Step) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let shops: Vec<Shop> = runtime.block_on(async {
        let mut shops = Vec::new();
        for variants in arms_of(lesson) {
            let shop = Shop::with(variants, Changes::default()).await;
            let coupon = "insert into coupons (code, percent, valid_until, max_uses) values ('TEN', 10, now() + interval '1 day', 2)";
            shop.database.execute(coupon).await;
            shops.push(shop);
        }
        shops
    });
    assert!(shops.len() >= 2, "{lesson} has arms to compare");
    let config = Config {
        cases: SEQUENCES,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let steps: Vec<Step> = steps.into_iter().filter(is_compared).collect();
        let all: Vec<_> = shops
            .iter()
            .map(|shop| runtime.block_on(walk(shop, &steps)))
            .collect();
        for (other, shop) in all.iter().zip(&shops).skip(1) {
            prop_assert_eq!(&all[0], other, "{} and {}", shops[0].variants, shop.variants);
        }
        Ok(())
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
}

#[test]
fn stock() {
    assert_agree("stock", |_| true);
}

#[test]
fn order_lines() {
    assert_agree("order_lines", |_| true);
}

#[test]
fn order_history() {
    assert_agree("order_history", |_| true);
}

#[test]
fn events() {
    assert_agree("events", |_| true);
}

/// What follows a payment is done at another time, after which an order can't be cancelled.
#[test]
fn checkout() {
    assert_agree("checkout", |step| !matches!(step, Step::Cancel(_)));
}

#[test]
fn sales_counts() {
    assert_agree("sales_counts", |_| true);
}
