//! A fake payment gateway in the test process. It implements `dev/simulators/PROTOCOLS.md` and injects faults at
//! a moment that the test chooses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The fault that it injects into authorizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultMode {
    /// Responds normally.
    Healthy,
    /// Authorizes, and delays its response until the fault changes.
    Stalled,
    /// Responds with 500 and changes nothing.
    Broken,
}

#[derive(Debug, Clone)]
pub struct Payment {
    pub id: String,
    pub status: &'static str,
    pub amount: i64,
    pub currency: String,
}

struct Shared {
    payments: Mutex<HashMap<String, Payment>>,
    authorizations: Mutex<u64>,
    fault: watch::Sender<FaultMode>,
}

pub struct Gateway {
    shared: Arc<Shared>,
    pub url: String,
    server: JoinHandle<()>,
}

impl Gateway {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            payments: Mutex::default(),
            authorizations: Mutex::default(),
            fault: watch::Sender::new(FaultMode::Healthy),
        });
        let router = Router::new()
            .route("/v1/payments", post(authorize).get(look_up))
            .route("/v1/payments/{id}/{verb}", post(change))
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, url, server }
    }

    pub fn inject(&self, fault: FaultMode) {
        self.shared.fault.send_replace(fault);
    }

    /// The number of authorization requests.
    pub fn authorizations(&self) -> u64 {
        *self.shared.authorizations.lock().unwrap()
    }

    /// The payment for an order.
    pub fn payment(&self, order: &str) -> Option<Payment> {
        self.shared.payments.lock().unwrap().get(order).cloned()
    }

    /// The number of payments with any status.
    pub fn payment_count(&self) -> usize {
        self.shared.payments.lock().unwrap().len()
    }

    /// The number of payments with a status.
    pub fn count_with_status(&self, status: &str) -> usize {
        let payments = self.shared.payments.lock().unwrap();
        payments
            .values()
            .filter(|payment| payment.status == status)
            .count()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn payment_json(payment: &Payment) -> Value {
    json!({ "id": payment.id, "status": payment.status, "amount": payment.amount, "currency": payment.currency })
}

async fn authorize(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    *shared.authorizations.lock().unwrap() += 1;
    if *shared.fault.borrow() == FaultMode::Broken {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            Json(json!({ "code": "internal", "message": "" })),
        )
            .into_response();
    }
    let status = match body["payment_token"].as_str().unwrap() {
        "tok_ok" => "authorized",
        "tok_declined" => "declined",
        _ => {
            let error = json!({ "code": "unknown_token", "message": "no such token" });
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(error)).into_response();
        }
    };
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    assert_eq!(
        body["reference"],
        key.as_str(),
        "the idempotency key is the payment's reference"
    );
    let payment = {
        let mut payments = shared.payments.lock().unwrap();
        let new = || Payment {
            id: format!("pay_{key}"),
            status,
            amount: body["amount"].as_i64().unwrap(),
            currency: body["currency"].as_str().unwrap().to_owned(),
        };
        payments.entry(key.clone()).or_insert_with(new).clone()
    };
    let mut fault = shared.fault.subscribe();
    let _ = fault.wait_for(|fault| *fault != FaultMode::Stalled).await;
    let mut response = payment_json(&payment);
    if payment.status == "declined" {
        response["code"] = json!("declined");
        response["message"] = json!("the card was declined");
        return (StatusCode::PAYMENT_REQUIRED, Json(response)).into_response();
    }
    (StatusCode::CREATED, Json(response)).into_response()
}

async fn look_up(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    match shared.payments.lock().unwrap().get(&query["idempotency_key"]) {
        Some(payment) => Json(payment_json(payment)).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "code": "not_found", "message": "" })),
        )
            .into_response(),
    }
}

async fn change(State(shared): State<Arc<Shared>>, Path((id, verb)): Path<(String, String)>) -> Response {
    if *shared.fault.borrow() == FaultMode::Broken {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            Json(json!({ "code": "internal", "message": "" })),
        )
            .into_response();
    }
    let target = if verb == "capture" { "captured" } else { "voided" };
    let mut payments = shared.payments.lock().unwrap();
    match payments.values_mut().find(|payment| payment.id == id) {
        Some(payment) if payment.status == "authorized" || payment.status == target => {
            payment.status = target;
            Json(payment_json(payment)).into_response()
        }
        Some(_) => (
            StatusCode::CONFLICT,
            Json(json!({ "code": "conflict", "message": "" })),
        )
            .into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "code": "not_found", "message": "" })),
        )
            .into_response(),
    }
}
