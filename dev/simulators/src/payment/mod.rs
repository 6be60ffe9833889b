//! The payment gateway: authorize, capture, void, look up. `PROTOCOLS.md` describes the protocol.
//!
//! Read next: `store.rs`, which holds the payments and makes requests idempotent.

mod authorize_request;
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

use self::authorize_request::{AuthorizeRequest, CardToken};
pub use self::store::PaymentSnapshot;
use self::store::{AuthorizeOutcome, Payment, PaymentStatus, Store, TransitionOutcome};
use crate::error::{ServiceError, idempotency_key, read_json};
use crate::fault_injection::{self, FaultConfig, Faults, SimulatedService};
use crate::server::{MAX_BODY_BYTES, close_connection};

/// The gateway's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentConfig {
    /// The shared settings.
    #[serde(flatten)]
    pub faults: Faults,
    /// Delay of the first response to `tok_timeout`, after the payment was authorized.
    pub timeout_answer_ms: u64,
    /// Number of failures of `tok_flaky` per idempotency key before it succeeds.
    pub flaky_failures: u32,
}

impl FaultConfig for PaymentConfig {
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
    service: Arc<SimulatedService<PaymentConfig>>,
    store: Mutex<Store>,
}

impl Gateway {
    fn store(&self) -> MutexGuard<'_, Store> {
        // No code panics while it holds the lock, so it is never poisoned.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives access to the state of the running gateway.
#[derive(Debug, Clone)]
pub struct GatewayHandle(Arc<Gateway>);

impl GatewayHandle {
    /// The current state.
    pub fn snapshot(&self) -> PaymentSnapshot {
        self.0.store().snapshot()
    }
}

/// The gateway's routes. The store holds up to `max_payments`, including those of the snapshot.
pub fn router(
    service: Arc<SimulatedService<PaymentConfig>>,
    max_payments: usize,
    snapshot: PaymentSnapshot,
) -> (Router, GatewayHandle) {
    let gateway = Arc::new(Gateway {
        service: service.clone(),
        store: Mutex::new(Store::restored(max_payments, snapshot)),
    });
    let simulated = Router::new()
        .route("/v1/payments", post(authorize).get(look_up))
        .route("/v1/payments/{id}", get(show))
        .route("/v1/payments/{id}/capture", post(capture))
        .route("/v1/payments/{id}/void", post(void))
        .layer(from_fn_with_state(
            service.clone(),
            fault_injection::inject_faults::<PaymentConfig>,
        ));
    let test_support = Router::new()
        .route("/v1/payments", axum::routing::delete(reset))
        .route("/v1/totals", get(totals));
    let router = simulated
        .merge(test_support)
        .with_state(gateway.clone())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .merge(fault_injection::control_routes(service));
    (router, GatewayHandle(gateway))
}

async fn authorize(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ServiceError> {
    let key = idempotency_key(&headers)?;
    let request: AuthorizeRequest = read_json(body)?;
    let token = request.check()?;
    let config = gateway.service.config();
    let outcome = gateway
        .store()
        .authorize(key, request, token, config.flaky_failures);
    match outcome {
        AuthorizeOutcome::Created(payment) => {
            // The payment is authorized; only the response is late.
            if token == CardToken::Timeout {
                tokio::time::sleep(Duration::from_millis(config.timeout_answer_ms)).await;
            }
            Ok(response(&payment))
        }
        AuthorizeOutcome::Replayed(payment) => {
            let replayed = [("idempotency-replayed", "true")];
            Ok((replayed, response(&payment)).into_response())
        }
        AuthorizeOutcome::KeyReused => Err(ServiceError::key_reused()),
        AuthorizeOutcome::Full => Err(ServiceError::full()),
        // Alternates between an error response and a lost request, so that clients have to handle both.
        AuthorizeOutcome::Flaky { failed_before } if failed_before % 2 == 0 => {
            Err(ServiceError::simulated_failure())
        }
        AuthorizeOutcome::Flaky { .. } => Ok(close_connection()),
    }
}

fn response(payment: &Payment) -> Response {
    if payment.status != PaymentStatus::Declined {
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
) -> Result<Json<Payment>, ServiceError> {
    transition(&gateway, &id, PaymentStatus::Captured)
}

async fn void(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
) -> Result<Json<Payment>, ServiceError> {
    transition(&gateway, &id, PaymentStatus::Voided)
}

fn transition(gateway: &Gateway, id: &str, wanted: PaymentStatus) -> Result<Json<Payment>, ServiceError> {
    match gateway.store().transition(id, wanted) {
        TransitionOutcome::Done(payment) => Ok(Json(payment)),
        TransitionOutcome::NotFound => Err(ServiceError::not_found("payment")),
        TransitionOutcome::Conflict(status) => Err(ServiceError::new(
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

async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
) -> Result<Json<Payment>, ServiceError> {
    let found = gateway.store().find(&id);
    found.map(Json).ok_or_else(|| ServiceError::not_found("payment"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookUp {
    idempotency_key: String,
}

async fn look_up(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<LookUp>, QueryRejection>,
) -> Result<Json<Payment>, ServiceError> {
    let Query(LookUp { idempotency_key }) = query?;
    let found = gateway.store().find_by_key(&idempotency_key);
    found.map(Json).ok_or_else(|| ServiceError::not_found("payment"))
}

async fn totals(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    Json(json!(gateway.store().totals()))
}

async fn reset(State(gateway): State<Arc<Gateway>>) -> StatusCode {
    gateway.store().reset();
    StatusCode::NO_CONTENT
}
