//! The parcel carrier: labels, and a signed callback when a parcel is delivered. `PROTOCOLS.md` describes the protocol.
//!
//! Read next: `callback.rs`.

mod callback;
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
use time::OffsetDateTime;

use self::callback::Callbacks;
pub use self::store::CarrierSnapshot;
use self::store::{Delivery, Label, LabelOutcome, Parcel, Store};
use crate::error::{ServiceError, idempotency_key, read_json};
use crate::fault_injection::{self, FaultConfig, Faults, SimulatedService};
use crate::server::MAX_BODY_BYTES;

/// Shorter secrets are open to brute force.
const MIN_SECRET_BYTES: usize = 16;

/// The carrier's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CarrierConfig {
    /// The shared settings.
    #[serde(flatten)]
    pub faults: Faults,
    /// Time from a label to the delivery of its parcel; 0 is never.
    pub deliver_after_ms: u64,
    /// Callback URL for deliveries, unless the label names one.
    pub callback_url: Option<String>,
    /// Number of attempts before a callback is given up.
    pub callback_attempts: u32,
    /// Delay before the first retry; it doubles with each retry, up to a minute.
    pub callback_pause_ms: u64,
}

impl FaultConfig for CarrierConfig {
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

/// What can't be changed at run time.
#[derive(Debug)]
pub struct CarrierOptions {
    /// Signs callbacks. Without it, none are sent.
    pub secret: Option<String>,
    /// The capacity of the store.
    pub max_labels: usize,
    /// The base of links to labels.
    pub base_url: String,
    /// The state to start from.
    pub snapshot: CarrierSnapshot,
}

/// Gives access to the state of the running carrier.
#[derive(Debug, Clone)]
pub struct CarrierHandle(Arc<Carrier>);

impl CarrierHandle {
    /// The current state.
    pub fn snapshot(&self) -> CarrierSnapshot {
        self.0.store().snapshot()
    }
}

#[derive(Debug)]
struct Carrier {
    service: Arc<SimulatedService<CarrierConfig>>,
    store: Mutex<Store>,
    callbacks: Option<Callbacks>,
    base_url: String,
}

impl Carrier {
    fn store(&self) -> MutexGuard<'_, Store> {
        // No code panics while it holds the lock, so it is never poisoned.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The carrier's routes. Resumes deliveries that were pending in the snapshot, so call it inside a runtime.
///
/// # Errors
/// When callbacks are configured but can't be signed.
pub fn router(
    service: Arc<SimulatedService<CarrierConfig>>,
    options: CarrierOptions,
) -> Result<(Router, CarrierHandle), String> {
    let is_short = |secret: &String| secret.len() < MIN_SECRET_BYTES;
    if options.secret.as_ref().is_some_and(is_short) {
        return Err(format!("the secret has fewer than {MIN_SECRET_BYTES} bytes"));
    }
    if options.secret.is_none() && service.config().callback_url.is_some() {
        return Err("callbacks need a secret to be signed with".to_owned());
    }
    let carrier = Arc::new(Carrier {
        service: service.clone(),
        store: Mutex::new(Store::restored(options.max_labels, options.snapshot)),
        callbacks: options.secret.map(Callbacks::new),
        base_url: options.base_url,
    });
    resume(&carrier);
    let simulated = Router::new()
        .route("/v1/labels", post(create).get(look_up))
        .route("/v1/labels/{id}", get(show))
        .layer(from_fn_with_state(
            service.clone(),
            fault_injection::inject_faults::<CarrierConfig>,
        ));
    let test_support = Router::new()
        .route("/v1/labels", axum::routing::delete(reset))
        .route("/v1/labels/{id}/label.txt", get(print))
        .route("/v1/totals", get(totals));
    let router = simulated.merge(test_support).with_state(carrier.clone());
    let router = router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .merge(fault_injection::control_routes(service));
    Ok((router, CarrierHandle(carrier)))
}

/// Schedules each pending delivery for the rest of its delay.
fn resume(carrier: &Arc<Carrier>) {
    let total = Duration::from_millis(carrier.service.config().deliver_after_ms);
    if total.is_zero() {
        return;
    }
    for (delivery, created_at) in carrier.store().pending_deliveries() {
        let elapsed = (OffsetDateTime::now_utc() - created_at).unsigned_abs();
        tokio::spawn(deliver(carrier.clone(), delivery, total.saturating_sub(elapsed)));
    }
}

async fn create(
    State(carrier): State<Arc<Carrier>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ServiceError> {
    let key = idempotency_key(&headers)?;
    let parcel: Parcel = read_json(body)?;
    parcel.check()?;
    if parcel.callback_url.is_some() && carrier.callbacks.is_none() {
        return Err(ServiceError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_secret",
            "this carrier was started without BACKSTOCK_CARRIER_SECRET, so it sends no callbacks",
        ));
    }
    let outcome = carrier.store().create(key, parcel, &carrier.base_url);
    match outcome {
        LabelOutcome::Created(label, delivery) => {
            let delay = carrier.service.config().deliver_after_ms;
            if delay > 0 {
                tokio::spawn(deliver(carrier, delivery, Duration::from_millis(delay)));
            }
            Ok((StatusCode::CREATED, Json(label)).into_response())
        }
        LabelOutcome::Replayed(label) => {
            let replayed = [("idempotency-replayed", "true")];
            Ok((StatusCode::CREATED, replayed, Json(label)).into_response())
        }
        LabelOutcome::KeyReused => Err(ServiceError::key_reused()),
    }
}

/// Delivers one parcel and sends its callback. A detached task: shutdown doesn't wait for it.
async fn deliver(carrier: Arc<Carrier>, delivery: Delivery, delay: Duration) {
    tokio::time::sleep(delay).await;
    let Some((label, url)) = carrier.store().deliver(&delivery) else {
        return; // Evicted or reset meanwhile.
    };
    let config = carrier.service.config();
    let (Some(callbacks), Some(url)) = (&carrier.callbacks, url.or(config.callback_url.clone())) else {
        carrier.store().finish(&delivery);
        return;
    };
    carrier
        .store()
        .count_callback(&delivery, |counts| counts.pending += 1);
    let is_acknowledged = callbacks.send(&url, &label, &config).await;
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

async fn show(
    State(carrier): State<Arc<Carrier>>,
    Path(id): Path<String>,
) -> Result<Json<Label>, ServiceError> {
    let found = carrier.store().find(&id);
    found.map(Json).ok_or_else(|| ServiceError::not_found("label"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookUp {
    reference: String,
}

async fn look_up(
    State(carrier): State<Arc<Carrier>>,
    query: Result<Query<LookUp>, QueryRejection>,
) -> Result<Json<Value>, ServiceError> {
    let Query(LookUp { reference }) = query?;
    let items = carrier.store().find_by_reference(&reference);
    Ok(Json(json!({ "items": items })))
}

/// The printable label.
async fn print(State(carrier): State<Arc<Carrier>>, Path(id): Path<String>) -> Result<String, ServiceError> {
    let found = carrier.store().print(&id);
    found.ok_or_else(|| ServiceError::not_found("label"))
}

async fn totals(State(carrier): State<Arc<Carrier>>) -> Json<Value> {
    Json(json!(carrier.store().totals()))
}

async fn reset(State(carrier): State<Arc<Carrier>>) -> StatusCode {
    carrier.store().reset();
    StatusCode::NO_CONTENT
}
