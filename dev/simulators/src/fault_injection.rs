//! Fault injection: the latency and the failures of a simulated service, set at start or with `PUT /control`.
//!
//! HTTP services run behind the middleware [`inject_faults`] and serve [`control_routes`]; the mail server calls
//! [`SimulatedService::next_injection`] itself. Read next: `payment/mod.rs`.

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

use crate::error::{ServiceError, read_json};
use crate::latency::{Draws, Latency};
use crate::server;

/// The faults that a service injects: the settings that all services share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// The median latency.
    pub latency_median_ms: f64,
    /// The 99th percentile of latency.
    pub latency_p99_ms: f64,
    /// The share of requests that get a 500 without being carried out.
    pub failure_error: f64,
    /// The share of requests that are lost: not carried out, and the connection is closed.
    pub failure_before: f64,
    /// The share of responses that are lost: the request is carried out, then the connection is closed.
    pub failure_after: f64,
    /// Setting it restarts the random sequence of delays and failures.
    pub seed: u64,
}

impl Faults {
    /// The latency distribution, or a message that says which values are allowed.
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

/// All settings of one service: the shared [`Faults`] and its own. It serializes to an object whose keys are the fields
/// of `PUT /control`.
pub trait FaultConfig: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// The settings that all services share.
    fn faults(&self) -> &Faults;

    /// Validates the service's own settings.
    ///
    /// # Errors
    /// A message that says which values are allowed.
    fn check(&self) -> Result<(), String>;
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is carried out and answered.
    Answered,
    /// It gets a 500 and isn't carried out.
    Error,
    /// It isn't carried out, and the connection is closed.
    LostRequest,
    /// It is carried out, and the connection is closed.
    LostResponse,
}

/// The delay and the outcome drawn for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// The minimum time from the request's arrival to its response.
    pub delay: Duration,
    /// Whether the request is answered, fails or is lost.
    pub outcome: Outcome,
}

/// The current settings and random stream of one simulated service.
#[derive(Debug)]
pub struct SimulatedService<C> {
    number: u64,
    state: Mutex<ServiceState<C>>,
}

#[derive(Debug)]
struct ServiceState<C> {
    config: C,
    latency: Latency,
    draws: Draws,
}

impl<C: FaultConfig> SimulatedService<C> {
    /// `number` selects the service's own random stream.
    ///
    /// # Errors
    /// A message that says which values are allowed.
    pub fn new(number: u64, config: C) -> Result<Self, String> {
        let latency = config.faults().check()?;
        config.check()?;
        let draws = Draws::new(config.faults().seed, number);
        let state = Mutex::new(ServiceState {
            config,
            latency,
            draws,
        });
        Ok(Self { number, state })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ServiceState<C>> {
        // No holder of the lock leaves the state half changed, so a poisoned lock is safe to use.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current settings.
    pub fn config(&self) -> C {
        self.lock().config.clone()
    }

    /// Draws the delay and the outcome of the next request.
    pub fn next_injection(&self) -> Injection {
        let mut state = self.lock();
        let draw = state.draws.draw();
        let faults = state.config.faults();
        let mut below = faults.failure_error;
        let outcome = if draw.share < below {
            Outcome::Error
        } else if draw.share < below + faults.failure_before {
            Outcome::LostRequest
        } else {
            below += faults.failure_before + faults.failure_after;
            if draw.share < below {
                Outcome::LostResponse
            } else {
                Outcome::Answered
            }
        };
        Injection {
            delay: state.latency.at(draw.normal),
            outcome,
        }
    }

    /// Applies the given fields and keeps the others. Setting `seed`, even to its current value, restarts the sequence.
    ///
    /// # Errors
    /// When a name or value is not allowed. No field is changed then.
    pub fn change(&self, changes: Map<String, Value>) -> Result<C, String> {
        let mut state = self.lock();
        let is_reseeded = changes.contains_key("seed");
        let mut config = state.config.clone();
        for (name, value) in changes {
            let Ok(Value::Object(mut fields)) = serde_json::to_value(&config) else {
                return Err("this service has no settings".to_owned());
            };
            if !fields.contains_key(&name) {
                let allowed: Vec<&str> = fields.keys().map(String::as_str).collect();
                return Err(format!(
                    "`{name}` is not a setting of this service; allowed are {}",
                    allowed.join(", ")
                ));
            }
            fields.insert(name.clone(), value);
            // One field at a time, so that the error message can name it.
            config = serde_json::from_value(Value::Object(fields))
                .map_err(|error| format!("`{name}`: {error}"))?;
        }
        let latency = config.faults().check()?;
        config.check()?;
        state.latency = latency;
        if is_reseeded {
            state.draws = Draws::new(config.faults().seed, self.number);
        }
        state.config = config.clone();
        Ok(config)
    }
}

/// `GET` and `PUT /control`, and `GET /livez`. No faults are injected into them.
pub fn control_routes<C: FaultConfig>(service: Arc<SimulatedService<C>>) -> Router {
    Router::new()
        .route("/control", get(show::<C>).put(change::<C>))
        .route("/livez", get(async || "alive\n"))
        .with_state(service)
}

async fn show<C: FaultConfig>(State(service): State<Arc<SimulatedService<C>>>) -> Json<C> {
    Json(service.config())
}

async fn change<C: FaultConfig>(
    State(service): State<Arc<SimulatedService<C>>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<C>, ServiceError> {
    service
        .change(read_json(body)?)
        .map(Json)
        .map_err(ServiceError::invalid)
}

/// Middleware that delays and fails requests. A request is carried out on arrival and only its response is delayed, so
/// after a timeout, a client may find that its request took effect, as with a real service.
pub async fn inject_faults<C: FaultConfig>(
    State(service): State<Arc<SimulatedService<C>>>,
    request: Request,
    next: Next,
) -> Response {
    let arrived = Instant::now();
    let injection = service.next_injection();
    let response = match injection.outcome {
        Outcome::Answered => next.run(request).await,
        Outcome::Error => ServiceError::simulated_failure().into_response(),
        Outcome::LostRequest => server::close_connection(),
        Outcome::LostResponse => {
            let _ = next.run(request).await;
            server::close_connection()
        }
    };
    wait_until(arrived, injection.delay).await;
    response
}

/// Waits until `delay` has passed since the request arrived. Tokio's timer has a resolution of 1 ms and never fires
/// early, so a wait can be 1 ms too long. A delay of zero sets no timer.
pub async fn wait_until(arrived: Instant, delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep_until(arrived + delay).await;
    }
}
