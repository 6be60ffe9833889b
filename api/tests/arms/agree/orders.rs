//! All arms of a lesson return equal responses to sequential requests: generated orders, replays,
//! cancellations and lists go to each of them, with equal databases.

use axum::http::Request;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use techniques::Selection;
use uuid::Uuid;

use crate::orders::shop::{Buyer, Shop, order, with};
use crate::support::arms;
use crate::support::response::TestResponse;

const SEQUENCES: u32 = 8;

/// SKUs with much stock, little, one unit and none, one of an inactive product, and one in another currency.
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
    PlaceOrder {
        guest: bool,
        items: Vec<(usize, u32)>,
        coupon: bool,
        token: &'static str,
        method: &'static str,
        replay: bool,
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
        .prop_map(|(guest, items, coupon, token, method, replay)| Step::PlaceOrder {
            guest,
            items,
            coupon,
            token,
            method,
            replay,
        });
    let step = prop_oneof![
        6 => place,
        2 => (0..6_usize).prop_map(Step::Cancel),
        2 => (0..6_usize).prop_map(Step::Show),
        2 => prop_oneof![Just(""), Just("&status=paid"), Just("&status=cancelled")].prop_map(Step::List),
    ];
    prop::collection::vec(step, 4..14)
}

/// The client of one shop, which runs the steps.
struct Client<'s> {
    shop: &'s Shop,
    buyer: Buyer,
    /// The placed orders, and whether each is a guest's.
    orders: Vec<(Value, bool)>,
}

impl Client<'_> {
    async fn run(&mut self, step: &Step) -> Vec<(u16, Value)> {
        match step {
            Step::PlaceOrder {
                guest,
                items,
                coupon,
                token,
                method,
                replay,
            } => {
                let buyer = if *guest { Buyer::Guest } else { self.buyer.clone() };
                let items: Vec<(&str, u32)> = items
                    .iter()
                    .map(|(sku, quantity)| (SKUS[*sku].0, *quantity))
                    .collect();
                let cart = self.shop.cart(&buyer, &without_duplicates(items)).await;
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
                let mut responses = Vec::new();
                for _ in 0..=usize::from(*replay) {
                    let response = self.shop.place(&buyer, &key, &body).await;
                    responses.push(content(&response));
                    if response.status == 201 {
                        self.orders.push((response.json(), *guest));
                    }
                }
                if *replay {
                    responses.push(content(&self.shop.buy(&buyer, cart).await));
                }
                responses
            }
            Step::Cancel(index) => self.request_order(*index, Request::post, "/cancel").await,
            Step::Show(index) => self.request_order(*index, Request::get, "").await,
            Step::List(filter) => {
                let request = Request::get(format!("/v1/orders?limit=3{filter}"));
                vec![content(&self.shop.send(self.buyer.identify(request)).await)]
            }
        }
    }

    async fn request_order(
        &self,
        index: usize,
        method: fn(String) -> axum::http::request::Builder,
        verb: &str,
    ) -> Vec<(u16, Value)> {
        let Some((order, guest)) = self.orders.get(index) else {
            return Vec::new();
        };
        let request = method(format!("/v1/orders/{}{verb}", order["id"].as_str().unwrap()));
        let request = match guest {
            true => request.header("x-order-token", order["order_token"].as_str().unwrap()),
            false => self.buyer.identify(request),
        };
        vec![content(&self.shop.send(request).await)]
    }

    async fn final_state(&self) -> Value {
        let sql = "select jsonb_build_object(
            'stock', (select jsonb_object_agg(sku, stock_quantity) from variants where stock_quantity > 2),
            'uses', (select sum(uses) from coupons),
            'orders', (select jsonb_agg(jsonb_build_array(status, total_cents) order by id) from orders),
            'lines', (select jsonb_agg(jsonb_build_array(position, sku, quantity, unit_price_cents)
                                       order by order_id, position) from order_lines))";
        self.shop.database.json(sql).await
    }
}

/// A cart contains each SKU at most once.
fn without_duplicates(mut items: Vec<(&str, u32)>) -> Vec<(&str, u32)> {
    items.sort_unstable();
    items.dedup_by_key(|(sku, _)| *sku);
    items
}

/// Status and body, without the fields that differ between any two orders.
fn content(response: &TestResponse) -> (u16, Value) {
    fn mask(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if matches!(
                        name.as_str(),
                        "id" | "number" | "created_at" | "at" | "order_token" | "next" | "email"
                    ) {
                        *value = json!(value.is_null());
                    }
                    mask(value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(mask),
            _ => {}
        }
    }
    let mut body = response.json();
    mask(&mut body);
    (response.status.as_u16(), body)
}

async fn run_steps(shop: &Shop, steps: &[Step]) -> Vec<(u16, Value)> {
    let mut reset = "update coupons set uses = 0; delete from idempotency_keys; delete from order_lines; delete from orders;".to_owned();
    for (sku, units) in SKUS {
        reset += &format!("update variants set stock_quantity = {units} where sku = '{sku}';");
    }
    shop.database.execute(&reset).await;
    let mut client = Client {
        shop,
        buyer: shop.customer().await,
        orders: Vec::new(),
    };
    let mut responses = Vec::new();
    for step in steps {
        responses.extend(client.run(step).await);
    }
    responses.push((0, client.final_state().await));
    responses
}

/// `is_compared` excludes steps whose responses depend on work that an arm defers.
fn assert_agree(lesson: &str, is_compared: fn(&Step) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let shops: Vec<(Selection, Shop)> = runtime.block_on(async {
        let mut shops = Vec::new();
        for selection in arms::arms_of(lesson) {
            let shop = arms::run(selection, Shop::start).await;
            let coupon = "insert into coupons (code, percent, valid_until, max_uses) values ('TEN', 10, now() + interval '1 day', 2)";
            shop.database.execute(coupon).await;
            shops.push((selection, shop));
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
            .map(|(_, shop)| runtime.block_on(run_steps(shop, &steps)))
            .collect();
        for (other, (selection, _)) in all.iter().zip(&shops).skip(1) {
            prop_assert_eq!(&all[0], other, "{} and {}", shops[0].0, selection);
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
fn reservation() {
    assert_agree("reservation", |_| true);
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

/// The arms do the work after a payment at different times, and an order can't be cancelled after it.
#[test]
fn checkout() {
    assert_agree("checkout", |step| !matches!(step, Step::Cancel(_)));
}

#[test]
fn sales_counts() {
    assert_agree("sales_counts", |_| true);
}
