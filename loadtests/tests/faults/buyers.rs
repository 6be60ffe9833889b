//! Those who buy while something breaks: each asks again under the same key until its order is paid.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadtests::load::{Request, Target, fetch};
use loadtests::trials::Town;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use uuid::Uuid;

/// Far above what anything takes: a key that is locked to a request that died is free after twelve seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Before a buyer asks again.
const PAUSE: Duration = Duration::from_millis(20);

/// What a buyer notes whom nobody answered in time.
pub const UNANSWERED: &str = "no answer in time";

/// What buyers were told, and how often.
pub type Told = BTreeMap<String, usize>;

/// Buyers at work.
pub struct Buyers {
    buying: JoinSet<(Vec<Uuid>, Told)>,
    paid: Arc<watch::Sender<usize>>,
}

impl Buyers {
    /// Shares these orders out, so many to each.
    pub fn send(town: &Town, requests: &[Request], orders_a_buyer: usize) -> Self {
        let paid = Arc::new(watch::Sender::new(0));
        let mut buying = JoinSet::new();
        for share in requests.chunks(orders_a_buyer) {
            buying.spawn(buy(town.shop().target(), share.to_vec(), Arc::clone(&paid)));
        }
        Self { buying, paid }
    }

    /// Until so many more orders are paid than are now.
    pub async fn until_more_have_paid(&self, more: usize) {
        let mut counted = self.paid.subscribe();
        let wanted = *counted.borrow() + more;
        let reached = tokio::time::timeout(PATIENCE, counted.wait_for(|count| *count >= wanted)).await;
        assert!(reached.is_ok(), "the shop sells nothing");
    }

    /// Until all have all they wanted: the orders, and what they were told.
    pub async fn all(mut self) -> (Vec<Uuid>, Told) {
        let (mut orders, mut told) = (Vec::new(), Told::new());
        while let Some(buyer) = self.buying.join_next().await {
            let (bought, heard) = buyer.unwrap();
            orders.extend(bought);
            for (what, times) in heard {
                *told.entry(what).or_default() += times;
            }
        }
        (orders, told)
    }
}

/// One who orders each of these, and asks again under the same key until it is paid.
async fn buy(target: Target, requests: Vec<Request>, paid: Arc<watch::Sender<usize>>) -> (Vec<Uuid>, Told) {
    let (mut orders, mut told) = (Vec::new(), Told::new());
    for request in &requests {
        let begun = Instant::now();
        loop {
            let (what, body) = match fetch(&target, request).await {
                Ok(answer) => {
                    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let code = body["code"].as_str().map(|code| format!(" {code}"));
                    let mut what = format!("{}{}", answer.status.as_u16(), code.unwrap_or_default());
                    if answer.status == 503 && !answer.headers.contains_key("retry-after") {
                        what += " without retry-after";
                    }
                    (what, body)
                }
                // A client's patience, which a loaded machine may outlast: it asks again as after any other fault.
                Err(error) if error.is::<Elapsed>() => (UNANSWERED.to_owned(), Value::Null),
                Err(error) => (format!("{error:#}"), Value::Null),
            };
            let is_paid = what == "201";
            *told.entry(what).or_default() += 1;
            if is_paid {
                orders.push(body["id"].as_str().unwrap().parse().unwrap());
                paid.send_modify(|count| *count += 1);
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "a buyer is stuck: {told:?} {body}");
            // A client's pause; nothing depends on how long it is.
            tokio::time::sleep(PAUSE).await;
        }
    }
    (orders, told)
}
