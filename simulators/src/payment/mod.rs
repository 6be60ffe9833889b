//! The payment gateway: authorize, capture, void, look up. The protocol is in `PROTOCOLS.md`.
//!
//! Read next: `store.rs`, which holds the payments and what keys promise.

mod order;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::order::{Order, Token};
pub use self::store::Kept;
use self::store::{Attempt, Change, Payment, Status, Store};
use crate::conduct::{self, Conduct, Faults, Party};
use crate::refusal::{Refusal, idempotency_key, read_json};
use crate::server::{LARGEST_BODY_BYTES, hang_up};

/// What can be set of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentConduct {
    /// What all parties have.
    #[serde(flatten)]
    pub faults: Faults,
    /// How long `tok_timeout`'s first answer takes, after the payment was authorized.
    pub timeout_answer_ms: u64,
    /// How often `tok_flaky` fails for each idempotency key, before it works.
    pub flaky_failures: u32,
}

impl Conduct for PaymentConduct {
    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn check(&self) -> Result<(), String> {
        if self.timeout_answer_ms <= 600_000 {
            return Ok(());
        }
        Err("`timeout_answer_ms` must be at most 600000".to_owned())
    }
}

#[derive(Debug)]
struct Gateway {
    party: Arc<Party<PaymentConduct>>,
    store: Mutex<Store>,
}

impl Gateway {
    fn store(&self) -> MutexGuard<'_, Store> {
        // Nothing panics while it holds the lock.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the gateway remembers, while it serves.
#[derive(Debug, Clone)]
pub struct Remembered(Arc<Gateway>);

impl Remembered {
    /// At this moment.
    pub fn kept(&self) -> Kept {
        self.0.store().kept()
    }
}

/// The gateway's routes. It remembers as many payments as given, those that were kept among them.
pub fn router(party: Arc<Party<PaymentConduct>>, most_payments: usize, kept: Kept) -> (Router, Remembered) {
    let gateway = Arc::new(Gateway {
        party: party.clone(),
        store: Mutex::new(Store::restored(most_payments, kept)),
    });
    let work = Router::new()
        .route("/v1/payments", post(authorize).get(look_up))
        .route("/v1/payments/{id}", get(show))
        .route("/v1/payments/{id}/capture", post(capture))
        .route("/v1/payments/{id}/void", post(void))
        .layer(from_fn_with_state(party.clone(), conduct::act::<PaymentConduct>));
    let beside = Router::new()
        .route("/v1/payments", axum::routing::delete(reset))
        .route("/v1/totals", get(totals));
    let router = work
        .merge(beside)
        .with_state(gateway.clone())
        .layer(DefaultBodyLimit::max(LARGEST_BODY_BYTES))
        .merge(conduct::routes(party));
    (router, Remembered(gateway))
}

async fn authorize(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let key = idempotency_key(&headers)?;
    let order: Order = read_json(body)?;
    let token = order.check()?;
    let settings = gateway.party.conduct();
    let attempt = gateway
        .store()
        .authorize(key, order, token, settings.flaky_failures);
    match attempt {
        Attempt::New(payment) => {
            // Authorized by now: the answer is what comes too late.
            if token == Token::Timeout {
                tokio::time::sleep(Duration::from_millis(settings.timeout_answer_ms)).await;
            }
            Ok(answer(&payment))
        }
        Attempt::Known(payment) => {
            let replayed = [("idempotency-replayed", "true")];
            Ok((replayed, answer(&payment)).into_response())
        }
        Attempt::KeyReused => Err(Refusal::key_reused()),
        Attempt::Full => Err(Refusal::full()),
        // Both ways of failing, in turns: a client has to bear either.
        Attempt::Flaky { failed_before } if failed_before % 2 == 0 => Err(Refusal::simulated_failure()),
        Attempt::Flaky { .. } => Ok(hang_up()),
    }
}

fn answer(payment: &Payment) -> Response {
    if payment.status != Status::Declined {
        return (StatusCode::CREATED, Json(payment)).into_response();
    }
    let mut body = json!(payment);
    body["code"] = json!("declined");
    body["message"] = json!("the card was declined");
    (StatusCode::PAYMENT_REQUIRED, Json(body)).into_response()
}

async fn capture(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
) -> Result<Json<Payment>, Refusal> {
    settle(&gateway, &id, Status::Captured)
}

async fn void(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Result<Json<Payment>, Refusal> {
    settle(&gateway, &id, Status::Voided)
}

fn settle(gateway: &Gateway, id: &str, wanted: Status) -> Result<Json<Payment>, Refusal> {
    match gateway.store().settle(id, wanted) {
        Change::Done(payment) => Ok(Json(payment)),
        Change::NotFound => Err(Refusal::not_found("payment")),
        Change::Conflict(status) => Err(Refusal::new(
            StatusCode::CONFLICT,
            "conflict",
            format!(
                "the payment is {}, so it can't become {}",
                status.as_str(),
                wanted.as_str()
            ),
        )),
    }
}

async fn show(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Result<Json<Payment>, Refusal> {
    let found = gateway.store().find(&id);
    found.map(Json).ok_or_else(|| Refusal::not_found("payment"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookUp {
    idempotency_key: String,
}

async fn look_up(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<LookUp>, QueryRejection>,
) -> Result<Json<Payment>, Refusal> {
    let Query(LookUp { idempotency_key }) = query?;
    let found = gateway.store().find_by_key(&idempotency_key);
    found.map(Json).ok_or_else(|| Refusal::not_found("payment"))
}

async fn totals(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    Json(json!(gateway.store().totals()))
}

async fn reset(State(gateway): State<Arc<Gateway>>) -> StatusCode {
    gateway.store().reset();
    StatusCode::NO_CONTENT
}
