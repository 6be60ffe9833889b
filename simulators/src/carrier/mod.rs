//! The parcel carrier: labels, and a signed callback when a parcel was delivered. The protocol is in `PROTOCOLS.md`.
//!
//! Read next: `callback.rs`.

mod callback;
mod label;

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
use time::OffsetDateTime;

use self::callback::Callbacks;
pub use self::label::Kept;
use self::label::{Attempt, Delivery, Label, Parcel, Store};
use crate::conduct::{self, Conduct, Faults, Party};
use crate::refusal::{Refusal, idempotency_key, read_json};
use crate::server::LARGEST_BODY_BYTES;

/// Shorter secrets can be guessed.
const SHORTEST_SECRET_BYTES: usize = 16;

/// What can be set of the carrier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CarrierConduct {
    /// What all parties have.
    #[serde(flatten)]
    pub faults: Faults,
    /// From a label to its parcel's delivery; 0 is never.
    pub deliver_after_ms: u64,
    /// Where deliveries are told of, unless a label says otherwise.
    pub callback_url: Option<String>,
    /// How often a callback is tried before it is given up.
    pub callback_attempts: u32,
    /// From the first try to the second; it doubles from try to try, up to a minute.
    pub callback_pause_ms: u64,
}

impl Conduct for CarrierConduct {
    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn check(&self) -> Result<(), String> {
        if self.deliver_after_ms > 86_400_000 {
            return Err("`deliver_after_ms` must be at most 86400000 (a day)".to_owned());
        }
        if !(1..=20).contains(&self.callback_attempts) {
            return Err("`callback_attempts` must be 1 to 20".to_owned());
        }
        if !(1..=60_000).contains(&self.callback_pause_ms) {
            return Err("`callback_pause_ms` must be 1 to 60000".to_owned());
        }
        self.callback_url.as_deref().map_or(Ok(()), callback::check_url)
    }
}

/// What is fixed when the carrier starts.
#[derive(Debug)]
pub struct CarrierOptions {
    /// Signs callbacks. Without one there are none.
    pub secret: Option<String>,
    /// How many labels are remembered.
    pub most_labels: usize,
    /// What the links to labels begin with.
    pub base_url: String,
    /// What it remembers from before.
    pub kept: Kept,
}

/// What the carrier remembers, while it serves.
#[derive(Debug, Clone)]
pub struct Remembered(Arc<Carrier>);

impl Remembered {
    /// At this moment.
    pub fn kept(&self) -> Kept {
        self.0.store().kept()
    }
}

#[derive(Debug)]
struct Carrier {
    party: Arc<Party<CarrierConduct>>,
    store: Mutex<Store>,
    callbacks: Option<Callbacks>,
    base_url: String,
}

impl Carrier {
    fn store(&self) -> MutexGuard<'_, Store> {
        // Nothing panics while it holds the lock.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The carrier's routes. Parcels that were on their way when it was stopped go on: call it inside a runtime.
///
/// # Errors
/// When callbacks are asked for and can't be signed; the message says what is missing.
pub fn router(
    party: Arc<Party<CarrierConduct>>,
    options: CarrierOptions,
) -> Result<(Router, Remembered), String> {
    let is_short = |secret: &String| secret.len() < SHORTEST_SECRET_BYTES;
    if options.secret.as_ref().is_some_and(is_short) {
        return Err(format!("the secret has fewer than {SHORTEST_SECRET_BYTES} bytes"));
    }
    if options.secret.is_none() && party.conduct().callback_url.is_some() {
        return Err("callbacks need a secret that signs them".to_owned());
    }
    let carrier = Arc::new(Carrier {
        party: party.clone(),
        store: Mutex::new(Store::restored(options.most_labels, options.kept)),
        callbacks: options.secret.map(Callbacks::new),
        base_url: options.base_url,
    });
    resume(&carrier);
    let work = Router::new()
        .route("/v1/labels", post(create).get(look_up))
        .route("/v1/labels/{id}", get(show))
        .layer(from_fn_with_state(party.clone(), conduct::act::<CarrierConduct>));
    let beside = Router::new()
        .route("/v1/labels", axum::routing::delete(reset))
        .route("/v1/labels/{id}/label.txt", get(print))
        .route("/v1/totals", get(totals));
    let router = work.merge(beside).with_state(carrier.clone());
    let router = router
        .layer(DefaultBodyLimit::max(LARGEST_BODY_BYTES))
        .merge(conduct::routes(party));
    Ok((router, Remembered(carrier)))
}

/// Each parcel takes what is left of its way.
fn resume(carrier: &Arc<Carrier>) {
    let whole = Duration::from_millis(carrier.party.conduct().deliver_after_ms);
    if whole.is_zero() {
        return;
    }
    for (delivery, since) in carrier.store().unfinished() {
        let passed = (OffsetDateTime::now_utc() - since).unsigned_abs();
        tokio::spawn(deliver(carrier.clone(), delivery, whole.saturating_sub(passed)));
    }
}

async fn create(
    State(carrier): State<Arc<Carrier>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let key = idempotency_key(&headers)?;
    let parcel: Parcel = read_json(body)?;
    parcel.check()?;
    if parcel.callback_url.is_some() && carrier.callbacks.is_none() {
        return Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_secret",
            "this carrier was started without BACKSTOCK_CARRIER_SECRET, so it makes no callbacks",
        ));
    }
    let attempt = carrier.store().create(key, parcel, &carrier.base_url);
    match attempt {
        Attempt::New(label, delivery) => {
            let delay = carrier.party.conduct().deliver_after_ms;
            if delay > 0 {
                tokio::spawn(deliver(carrier, delivery, Duration::from_millis(delay)));
            }
            Ok((StatusCode::CREATED, Json(label)).into_response())
        }
        Attempt::Known(label) => {
            let replayed = [("idempotency-replayed", "true")];
            Ok((StatusCode::CREATED, replayed, Json(label)).into_response())
        }
        Attempt::KeyReused => Err(Refusal::key_reused()),
    }
}

/// The parcel's way. Nobody waits for it: it ends with the process.
async fn deliver(carrier: Arc<Carrier>, delivery: Delivery, delay: Duration) {
    tokio::time::sleep(delay).await;
    let Some((label, url)) = carrier.store().deliver(&delivery) else {
        return; // Forgotten meanwhile.
    };
    let settings = carrier.party.conduct();
    let (Some(callbacks), Some(url)) = (&carrier.callbacks, url.or(settings.callback_url.clone())) else {
        carrier.store().finish(&delivery);
        return;
    };
    carrier
        .store()
        .count_callback(&delivery, |counts| counts.pending += 1);
    let is_acknowledged = callbacks.tell(&url, &label, &settings).await;
    carrier.store().count_callback(&delivery, |counts| {
        counts.pending -= 1;
        if is_acknowledged {
            counts.acknowledged += 1;
        } else {
            counts.given_up += 1;
        }
    });
    carrier.store().finish(&delivery);
}

async fn show(State(carrier): State<Arc<Carrier>>, Path(id): Path<String>) -> Result<Json<Label>, Refusal> {
    let found = carrier.store().find(&id);
    found.map(Json).ok_or_else(|| Refusal::not_found("label"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookUp {
    reference: String,
}

async fn look_up(
    State(carrier): State<Arc<Carrier>>,
    query: Result<Query<LookUp>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let Query(LookUp { reference }) = query?;
    let items = carrier.store().of_reference(&reference);
    Ok(Json(json!({ "items": items })))
}

/// What a shop's packer would print.
async fn print(State(carrier): State<Arc<Carrier>>, Path(id): Path<String>) -> Result<String, Refusal> {
    let found = carrier.store().print(&id);
    found.ok_or_else(|| Refusal::not_found("label"))
}

async fn totals(State(carrier): State<Arc<Carrier>>) -> Json<Value> {
    Json(json!(carrier.store().totals()))
}

async fn reset(State(carrier): State<Arc<Carrier>>) -> StatusCode {
    carrier.store().reset();
    StatusCode::NO_CONTENT
}
