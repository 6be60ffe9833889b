//! Tells a shop that its parcel was delivered: a signed `POST`, tried again with growing pauses.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, Uri, header};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use sha2::Sha256;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::CarrierConduct;
use super::label::Label;

/// Callbacks under way at a time; more wait.
const MOST_AT_ONCE: usize = 64;

/// How long a shop may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two tries grows up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Sends callbacks.
#[derive(Debug)]
pub(super) struct Callbacks {
    client: Client<HttpConnector, Full<Bytes>>,
    secret: String,
    permits: Arc<Semaphore>,
}

#[derive(Serialize)]
struct Event<'a> {
    event: &'static str,
    reference: &'a str,
    tracking_number: &'a str,
    #[serde(with = "time::serde::rfc3339::option")]
    at: Option<OffsetDateTime>,
}

impl Callbacks {
    pub(super) fn new(secret: String) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(ANSWER_TIMEOUT));
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            secret,
            permits: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        }
    }

    /// Whether the shop acknowledged it, after as many tries as are set.
    pub(super) async fn tell(&self, url: &str, label: &Label, settings: &CarrierConduct) -> bool {
        let event = Event {
            event: "delivered",
            reference: &label.reference,
            tracking_number: &label.tracking_number,
            at: label.delivered_at,
        };
        let body = serde_json::to_vec(&event).expect("texts and a time always serialize");
        let body = Bytes::from(body);
        let mut pause = Duration::from_millis(settings.callback_pause_ms);
        for attempt in 1..=settings.callback_attempts {
            match self.post(url, body.clone()).await {
                Ok(()) => return true,
                Err(error) => {
                    tracing::info!(%url, reference = label.reference, attempt, error, "a callback was not acknowledged");
                }
            }
            if attempt < settings.callback_attempts {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        tracing::warn!(%url, reference = label.reference, "a callback was given up");
        false
    }

    async fn post(&self, url: &str, body: Bytes) -> Result<(), String> {
        let permit = self.permits.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        // Signed anew at each try: a receiver refuses old times.
        let unix = OffsetDateTime::now_utc().unix_timestamp();
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-carrier-signature", signature(&self.secret, unix, &body))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let answering = self.client.request(request);
        match tokio::time::timeout(ANSWER_TIMEOUT, answering).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("answered {}", response.status())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {ANSWER_TIMEOUT:?}")),
        }
    }
}

/// `t=<unix>,v1=<hex of HMAC-SHA256 over "t.body">`. The time is signed too, so that a receiver can refuse replays.
fn signature(secret: &str, unix: i64, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.expect("HMAC takes keys of any length");
    mac.update(format!("{unix}.").as_bytes());
    mac.update(body);
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={unix},v1={hex}")
}

/// Whether callbacks can go there.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    let uri = url.parse::<Uri>();
    let is_usable = uri.is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    if is_usable && url.len() <= 1_000 {
        return Ok(());
    }
    Err(
        "`callback_url` must be an http:// address, for example http://127.0.0.1:8080/v1/webhooks/carrier"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_other_implementations() {
        // printf '%s' '1700000000.{"event":"delivered"}' | openssl dgst -sha256 -hmac 'a secret of sixteen'
        let expected = "t=1700000000,v1=eb477dd511fe790446b95b248cf9f29527732cede3b0b95be9a836fec94261d3";
        assert_eq!(
            signature("a secret of sixteen", 1_700_000_000, br#"{"event":"delivered"}"#),
            expected
        );
    }

    #[test]
    fn callbacks_go_to_http_addresses_only() {
        assert!(check_url("http://127.0.0.1:8080/x").is_ok());
        for url in ["https://shop/x", "/x", "http://", "ftp://shop", "", "http:// x"] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
