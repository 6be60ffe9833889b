//! How a third party behaves: slow, failing, or losing its answers, as was set at start or over `PUT /control`.
//!
//! A party that serves HTTP has [`act`] around its work and [`routes`] beside it; the mail server asks
//! [`Party::next_turn`] itself. Read next: `payment/mod.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::latency::{Draws, Latency};
use crate::refusal::{Refusal, read_json};
use crate::server;

/// What can be set of every party.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// Half of all answers take at most as long.
    pub latency_median_ms: f64,
    /// 99 of 100 answers take at most as long.
    pub latency_p99_ms: f64,
    /// The share of requests that get a 500, and nothing is done.
    pub failure_error: f64,
    /// The share of requests of which nothing is done and nothing answered: the connection is closed.
    pub failure_before: f64,
    /// The share of requests that are done, but the answer is lost: the connection is closed.
    pub failure_after: f64,
    /// Begins the sequence of delays and failures anew.
    pub seed: u64,
}

impl Faults {
    /// The distribution of delays.
    ///
    /// # Errors
    /// When a number makes no sense; the message says what is allowed.
    fn check(&self) -> Result<Latency, String> {
        let shares = [self.failure_error, self.failure_before, self.failure_after];
        let all: f64 = shares.iter().sum();
        if !shares.iter().all(|share| (0.0..=1.0).contains(share)) || all > 1.0 {
            return Err(
                "`failure_error`, `failure_before` and `failure_after` are shares from 0 to 1, at most 1 together"
                    .to_owned(),
            );
        }
        Latency::new(self.latency_median_ms, self.latency_p99_ms)
    }
}

/// All that can be set of one party: its faults, and what only it has. Serialized it is an object; its keys are what
/// `PUT /control` takes.
pub trait Conduct: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// The part that all parties have.
    fn faults(&self) -> &Faults;

    /// Checks the rest.
    ///
    /// # Errors
    /// When a value makes no sense; the message says what is allowed.
    fn check(&self) -> Result<(), String>;
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done and answered.
    Answered,
    /// It gets a 500; nothing is done.
    Error,
    /// Nothing is done; the connection is closed.
    LostBefore,
    /// It is done; the connection is closed.
    LostAfter,
}

/// What was drawn for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// From the request's arrival to its answer, at least.
    pub delay: Duration,
    /// How it ends.
    pub fate: Fate,
}

/// One third party's behaviour.
#[derive(Debug)]
pub struct Party<C> {
    number: u64,
    state: Mutex<Behaviour<C>>,
}

#[derive(Debug)]
struct Behaviour<C> {
    conduct: C,
    latency: Latency,
    draws: Draws,
}

impl<C: Conduct> Party<C> {
    /// The number tells the parties' streams of luck apart.
    ///
    /// # Errors
    /// When a value makes no sense; the message says what is allowed.
    pub fn new(number: u64, conduct: C) -> Result<Self, String> {
        let latency = conduct.faults().check()?;
        conduct.check()?;
        let draws = Draws::new(conduct.faults().seed, number);
        let state = Mutex::new(Behaviour {
            conduct,
            latency,
            draws,
        });
        Ok(Self { number, state })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Behaviour<C>> {
        // Nothing that holds the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is set now.
    pub fn conduct(&self) -> C {
        self.lock().conduct.clone()
    }

    /// Draws for the next request.
    pub fn next_turn(&self) -> Turn {
        let mut state = self.lock();
        let draw = state.draws.draw();
        let faults = state.conduct.faults();
        let mut below = faults.failure_error;
        let fate = if draw.share < below {
            Fate::Error
        } else if draw.share < below + faults.failure_before {
            Fate::LostBefore
        } else {
            below += faults.failure_before + faults.failure_after;
            if draw.share < below {
                Fate::LostAfter
            } else {
                Fate::Answered
            }
        };
        Turn {
            delay: state.latency.at(draw.normal),
            fate,
        }
    }

    /// Sets what is named and keeps the rest. A `seed`, also the same, begins its sequence anew.
    ///
    /// # Errors
    /// When a name or value is not allowed; nothing is changed then.
    pub fn change(&self, changes: Map<String, Value>) -> Result<C, String> {
        let mut state = self.lock();
        let is_reseeded = changes.contains_key("seed");
        let mut conduct = state.conduct.clone();
        for (name, value) in changes {
            let Ok(Value::Object(mut fields)) = serde_json::to_value(&conduct) else {
                return Err("this party has nothing to set".to_owned());
            };
            if !fields.contains_key(&name) {
                let allowed: Vec<&str> = fields.keys().map(String::as_str).collect();
                return Err(format!(
                    "`{name}` can't be set here; allowed are {}",
                    allowed.join(", ")
                ));
            }
            fields.insert(name.clone(), value);
            // One at a time, so that the message can name the field.
            conduct = serde_json::from_value(Value::Object(fields))
                .map_err(|error| format!("`{name}`: {error}"))?;
        }
        let latency = conduct.faults().check()?;
        conduct.check()?;
        state.latency = latency;
        if is_reseeded {
            state.draws = Draws::new(conduct.faults().seed, self.number);
        }
        state.conduct = conduct.clone();
        Ok(conduct)
    }
}

/// `GET` and `PUT /control`, and `GET /livez`. These neither wait nor fail, and draw nothing.
pub fn routes<C: Conduct>(party: Arc<Party<C>>) -> Router {
    Router::new()
        .route("/control", get(show::<C>).put(change::<C>))
        .route("/livez", get(async || "alive\n"))
        .with_state(party)
}

async fn show<C: Conduct>(State(party): State<Arc<Party<C>>>) -> Json<C> {
    Json(party.conduct())
}

async fn change<C: Conduct>(
    State(party): State<Arc<Party<C>>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<C>, Refusal> {
    party.change(read_json(body)?).map(Json).map_err(Refusal::invalid)
}

/// Around a party's work. What is asked is done when it arrives, and the answer waits: a client that gives up
/// meanwhile finds that it was done, as it would with the real thing.
pub async fn act<C: Conduct>(State(party): State<Arc<Party<C>>>, request: Request, next: Next) -> Response {
    let arrived = Instant::now();
    let turn = party.next_turn();
    let response = match turn.fate {
        Fate::Answered => next.run(request).await,
        Fate::Error => Refusal::simulated_failure().into_response(),
        Fate::LostBefore => server::hang_up(),
        Fate::LostAfter => {
            // Whatever it would have been answered.
            let _ = next.run(request).await;
            server::hang_up()
        }
    };
    wait_until(arrived, turn.delay).await;
    response
}

/// Tokio's timer counts whole milliseconds and never fires early, so a wait is up to one longer; none costs nothing.
pub async fn wait_until(arrived: Instant, delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep_until(arrived + delay).await;
    }
}
