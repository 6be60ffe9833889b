//! A payment gateway inside the test, which speaks the protocol of `simulators/PROTOCOLS.md` and does on command what a
//! real one does by accident, at a moment that the test chooses.

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

/// What the gateway does with the next authorizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// Authorizes, and doesn't answer while it lasts.
    Silent,
    /// Answers 500, and does nothing.
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
    asked: Mutex<u64>,
    mood: watch::Sender<Mood>,
}

pub struct Gateway {
    shared: Arc<Shared>,
    pub url: String,
    serving: JoinHandle<()>,
}

impl Gateway {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            payments: Mutex::default(),
            asked: Mutex::default(),
            mood: watch::Sender::new(Mood::Well),
        });
        let router = Router::new()
            .route("/v1/payments", post(authorize).get(look_up))
            .route("/v1/payments/{id}/{verb}", post(change))
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, url, serving }
    }

    pub fn is(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// How often it was asked to authorize.
    pub fn asked(&self) -> u64 {
        *self.shared.asked.lock().unwrap()
    }

    /// The payment of an order.
    pub fn payment(&self, order: &str) -> Option<Payment> {
        self.shared.payments.lock().unwrap().get(order).cloned()
    }

    /// How many payments there are, of any status.
    pub fn payments(&self) -> usize {
        self.shared.payments.lock().unwrap().len()
    }

    /// How many stand there.
    pub fn count(&self, status: &str) -> usize {
        let payments = self.shared.payments.lock().unwrap();
        payments
            .values()
            .filter(|payment| payment.status == status)
            .count()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn shown(payment: &Payment) -> Value {
    json!({ "id": payment.id, "status": payment.status, "amount": payment.amount, "currency": payment.currency })
}

async fn authorize(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    *shared.asked.lock().unwrap() += 1;
    if *shared.mood.borrow() == Mood::Broken {
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
            let refusal = json!({ "code": "unknown_token", "message": "no such token" });
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response();
        }
    };
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    assert_eq!(
        body["reference"],
        key.as_str(),
        "a payment is named after its order"
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
    let mut mood = shared.mood.subscribe();
    let _ = mood.wait_for(|mood| *mood != Mood::Silent).await;
    let mut answer = shown(&payment);
    if payment.status == "declined" {
        answer["code"] = json!("declined");
        answer["message"] = json!("the card was declined");
        return (StatusCode::PAYMENT_REQUIRED, Json(answer)).into_response();
    }
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn look_up(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    match shared.payments.lock().unwrap().get(&query["idempotency_key"]) {
        Some(payment) => Json(shown(payment)).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "code": "not_found", "message": "" })),
        )
            .into_response(),
    }
}

async fn change(State(shared): State<Arc<Shared>>, Path((id, verb)): Path<(String, String)>) -> Response {
    if *shared.mood.borrow() == Mood::Broken {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            Json(json!({ "code": "internal", "message": "" })),
        )
            .into_response();
    }
    let wanted = if verb == "capture" { "captured" } else { "voided" };
    let mut payments = shared.payments.lock().unwrap();
    match payments.values_mut().find(|payment| payment.id == id) {
        Some(payment) if payment.status == "authorized" || payment.status == wanted => {
            payment.status = wanted;
            Json(shown(payment)).into_response()
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
