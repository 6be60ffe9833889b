//! `kill -9` of the api between each two steps of a checkout.
//!
//! The steps are counted first: each round trip to Postgres or to the payment gateway that an order waits for. Then the
//! api dies once with each step still unsaid, and once with each step done and unanswered. The client of one half of these
//! orders asks again under the same key; the other half is left to the worker. Once the bank says yes, once no.
//!
//! The arms `stock=conditional` and `stock=row_lock_through_payment` promise the same, but for one thing: an order of the
//! latter is forgotten whole when its process dies before the commit, and the gateway, asked by then, isn't. Its money stays held,
//! is never taken, and is the bank's to let go; see `docs/lessons/stock.md`. The preset `baseline` promises less: what
//! follows a payment is lost with its process, which `compare --lesson events` counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use loadtests::load::{Fetched, Request, Target, fetch};
use loadtests::trials::Town;
use serde_json::Value;
use tcp_proxy::Direction;
use uuid::Uuid;

use super::aftermath::{Allowed, Market};
use super::gate::{Gate, Peer};
use super::ground::{ALL_PARTS, town, url_of};
use super::town_support::services;

/// Far above the time for which a key stays locked to a dead process, see `ground.rs`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Before a client asks again that was told to wait.
const PAUSE: Duration = Duration::from_millis(100);

/// What is tried at each step.
struct Trial {
    /// Of the town.
    number: u8,
    variants: &'static str,
    payment_token: &'static str,
    /// What a client is answered who comes to the end.
    status: u16,
    /// From the stock to the payment's record.
    is_one_transaction: bool,
}

/// One death, and the order that it met.
struct Case {
    step: usize,
    held: Direction,
    is_asked_again: bool,
    cart: Uuid,
    request: Request,
}

impl Case {
    /// Under which the lab orders a cart.
    fn key(&self) -> String {
        format!("order-{}", self.cart)
    }
}

/// What is left of an order whose client doesn't come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It never was.
    None,
    /// Its stock was held; its payment was never asked for, or declined.
    Failed,
    /// The money is held.
    Paid,
}

/// The steps of a checkout, by what has happened when they are answered.
struct Steps {
    count: usize,
    payment: usize,
    is_one_transaction: bool,
    is_declined: bool,
}

impl Steps {
    fn of(seen: &[Peer], trial: &Trial) -> Self {
        let gateway = seen.iter().filter(|peer| **peer == Peer::Gateway).count();
        assert_eq!(gateway, 1, "an order asks the gateway once: {seen:?}");
        let before = seen.iter().take_while(|peer| **peer == Peer::Postgres).count();
        assert!(before > 3 && seen.len() > before + 1, "{seen:?}");
        Self {
            count: seen.len(),
            payment: before + 1,
            is_one_transaction: trial.is_one_transaction,
            is_declined: trial.status == 402,
        }
    }

    fn is_done(&self, step: usize, case: &Case) -> bool {
        case.step > step || case.step == step && case.held == Direction::Responses
    }

    fn fate(&self, case: &Case) -> Fate {
        // The reservation's commit is the last step before the payment.
        let reserved = if self.is_one_transaction {
            self.count
        } else {
            self.payment - 1
        };
        if !self.is_done(reserved, case) {
            Fate::None
        } else if self.is_done(self.payment, case) && !self.is_declined {
            Fate::Paid
        } else {
            Fate::Failed
        }
    }

    /// The gateway knows of an order that the shop has forgotten.
    fn is_payment_forgotten(&self, case: &Case) -> bool {
        self.is_done(self.payment, case) && self.fate(case) == Fate::None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_dies_at_any_step_of_a_checkout_loses_nothing_and_charges_nobody_twice() {
    die_at_each_step(Trial {
        number: 30,
        variants: "optimized",
        payment_token: "tok_ok",
        status: 201,
        is_one_transaction: false,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_dies_at_any_step_of_a_declined_checkout_gives_everything_back_once() {
    die_at_each_step(Trial {
        number: 33,
        variants: "optimized",
        payment_token: "tok_declined",
        status: 402,
        is_one_transaction: false,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_row_lock_through_payment_too_but_for_payments_that_are_forgotten_with_their_orders() {
    die_at_each_step(Trial {
        number: 31,
        variants: "optimized,stock=row_lock_through_payment",
        payment_token: "tok_ok",
        status: 201,
        is_one_transaction: true,
    })
    .await;
}

async fn die_at_each_step(trial: Trial) {
    let services = services().await;
    let mut town = town(&services, trial.number, trial.variants).await;
    let mut gate = Gate::new();
    put_behind(&mut gate, &mut town).await;
    let mut market = Market::open(&mut town).await;
    town.since = Uuid::now_v7();

    let seen = steps_of_an_order(&gate, &mut town, &mut market, &trial).await;
    let steps = Steps::of(&seen, &trial);
    let mut cases = Vec::new();
    for is_asked_again in [true, false] {
        for step in 1..=steps.count {
            for held in [Direction::Requests, Direction::Responses] {
                let cart = market.carts.make(&mut town.monitor, 1).await.unwrap().remove(0);
                let case = Case {
                    step,
                    held,
                    is_asked_again,
                    cart: cart.id,
                    request: cart.order(trial.payment_token).unwrap(),
                };
                die(&gate, &mut town, &case).await;
                cases.push(case);
            }
        }
    }
    town.start_api().await.unwrap();
    let (again, left): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.is_asked_again);
    let answers = ask_again(&town.shop().target(), &again, &steps, &trial).await;
    town.start_worker(ALL_PARTS).await.unwrap();

    let fates = |fate: Fate| left.iter().filter(|case| steps.fate(case) == fate).count() as i64;
    let forgotten = again
        .iter()
        .chain(&left)
        .filter(|case| steps.is_payment_forgotten(case))
        .count() as i64;
    assert_eq!(forgotten > 0, trial.is_one_transaction);
    let allowed = Allowed {
        forgotten_payments: forgotten,
    };
    let paid = market.assert_adds_up(&mut town, allowed).await;
    let of_clients_that_stayed = if steps.is_declined {
        0
    } else {
        1 + again.len() as i64
    };
    assert_eq!(paid, of_clients_that_stayed + fates(Fate::Paid));
    assert_fates(&mut town, &left, &steps).await;
    assert_same_answers(&mut town, &again, &answers).await;
    // A count that had been cut short would have missed deaths.
    assert_eq!(
        steps_of_an_order(&gate, &mut town, &mut market, &trial).await,
        seen
    );
    town.stop().await.unwrap();
}

/// The api reaches Postgres and the gateway through the gate, over one connection, so that its steps are the same each
/// time. Nobody else does.
async fn put_behind(gate: &mut Gate, town: &mut Town) {
    let payment = url_of(&town.simulators, "BACKSTOCK_PAYMENT_URL");
    let payment = gate.door(Peer::Gateway, &payment);
    town.api.database_url = gate.door(Peer::Postgres, &town.api.database_url);
    town.api.extra_env.extend([
        ("BACKSTOCK_PAYMENT_URL".to_owned(), payment),
        ("BACKSTOCK_DATABASE_CONNECTIONS".to_owned(), "1".to_owned()),
    ]);
}

/// Of a new api, as those that die are.
async fn steps_of_an_order(gate: &Gate, town: &mut Town, market: &mut Market, trial: &Trial) -> Vec<Peer> {
    town.shop = None;
    town.start_api().await.unwrap();
    let cart = market.carts.make(&mut town.monitor, 1).await.unwrap().remove(0);
    gate.count();
    let request = cart.order(trial.payment_token).unwrap();
    let answer = fetch(&town.shop().target(), &request).await.unwrap();
    assert_eq!(
        answer.status,
        trial.status,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    gate.steps()
}

async fn die(gate: &Gate, town: &mut Town, case: &Case) {
    town.shop = None;
    town.start_api().await.unwrap();
    gate.hold(case.step, case.held);
    let (target, request) = (town.shop().target(), case.request.clone());
    let client = tokio::spawn(async move { fetch(&target, &request).await });
    gate.until_held().await;
    town.kill();
    let answer = client.await.unwrap();
    assert!(answer.is_err(), "nobody was there to answer");
    gate.count();
}

/// Until there is a final answer, whenever the process died.
async fn ask_again(target: &Target, cases: &[Case], steps: &Steps, trial: &Trial) -> Vec<Fetched> {
    let answers = cases.iter().map(|case| async move {
        let begun = Instant::now();
        loop {
            let answer = fetch(target, &case.request).await.unwrap();
            let body = String::from_utf8_lossy(&answer.body);
            // All of them want the same units: what isn't had in time is to be asked for again, too.
            let is_to_wait =
                answer.status == 503 || (answer.status == 409 && body.contains("request_in_progress"));
            if is_to_wait && begun.elapsed() < PATIENCE {
                // The client does as it was told; nothing depends on how long it is.
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let when = format!("step {} of {}, {:?}", case.step, steps.count, case.held);
            assert_eq!(answer.status, trial.status, "{when}: {body}");
            let is_replayed = answer.headers.contains_key("idempotency-replayed");
            assert_eq!(is_replayed, steps.is_done(steps.count, case), "{when}");
            return answer;
        }
    });
    join_all(answers).await
}

/// Each key has one order, of which its client was told and is told again.
async fn assert_same_answers(town: &mut Town, cases: &[Case], answers: &[Fetched]) {
    let orders = orders(town).await;
    for (case, first) in cases.iter().zip(answers) {
        let (order, _) = &orders[&case.key()];
        let body: Value = serde_json::from_slice(&first.body).unwrap();
        if first.status == 201 {
            assert_eq!(body["id"], order.to_string());
        }
        let again = fetch(&town.shop().target(), &case.request).await.unwrap();
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert!(again.headers.contains_key("idempotency-replayed"));
    }
}

/// Every order and its status, by its key.
async fn orders(town: &mut Town) -> BTreeMap<String, (Uuid, String)> {
    let sql = "select k.key, o.id, o.status from idempotency_keys k join orders o on o.id = k.order_id where o.id > $1";
    let orders: Vec<(String, Uuid, String)> = sqlx::query_as(sql)
        .bind(town.since)
        .fetch_all(&mut town.monitor)
        .await
        .unwrap();
    orders
        .into_iter()
        .map(|(key, order, status)| (key, (order, status)))
        .collect()
}

/// Of orders whose clients never came back.
async fn assert_fates(town: &mut Town, cases: &[Case], steps: &Steps) {
    let orders = orders(town).await;
    for case in cases {
        let fate = match orders.get(&case.key()) {
            None => Fate::None,
            Some((_, status)) if status == "payment_failed" => Fate::Failed,
            Some(_) => Fate::Paid,
        };
        assert_eq!(
            fate,
            steps.fate(case),
            "step {} of {}, {:?}",
            case.step,
            steps.count,
            case.held
        );
    }
}
