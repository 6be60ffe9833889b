//! Delivery callbacks: a signed `POST` to the shop, retried with exponential backoff.

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

use super::CarrierConfig;
use super::store::Label;

/// The maximum number of concurrent callbacks.
const MAX_CONCURRENT: usize = 64;

/// The timeout of the connect, and of a whole request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The cap of the exponential backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The callback client.
#[derive(Debug)]
pub(super) struct Callbacks {
    client: Client<HttpConnector, Full<Bytes>>,
    secret: String,
    permits: Arc<Semaphore>,
}

#[derive(Serialize)]
struct DeliveryEvent<'a> {
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
        connector.set_connect_timeout(Some(TIMEOUT));
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            secret,
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT)),
        }
    }

    /// Sends the callback until the shop acknowledges it or the attempts are used up. Returns whether it was acknowledged.
    pub(super) async fn send(&self, url: &str, label: &Label, config: &CarrierConfig) -> bool {
        let event = DeliveryEvent {
            event: "delivered",
            reference: &label.reference,
            tracking_number: &label.tracking_number,
            at: label.delivered_at,
        };
        let body = serde_json::to_vec(&event).expect("texts and a time always serialize");
        let body = Bytes::from(body);
        let mut backoff = Duration::from_millis(config.callback_pause_ms);
        for attempt in 1..=config.callback_attempts {
            match self.post(url, body.clone()).await {
                Ok(()) => return true,
                Err(error) => {
                    tracing::info!(%url, reference = label.reference, attempt, error, "a callback was not acknowledged");
                }
            }
            if attempt < config.callback_attempts {
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
        tracing::warn!(%url, reference = label.reference, "a callback was given up");
        false
    }

    async fn post(&self, url: &str, body: Bytes) -> Result<(), String> {
        let permit = self.permits.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        // Each attempt has its own timestamp, because receivers reject old ones.
        let unix = OffsetDateTime::now_utc().unix_timestamp();
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-carrier-signature", signature(&self.secret, unix, &body))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request);
        match tokio::time::timeout(TIMEOUT, response).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("answered {}", response.status())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
        }
    }
}

/// `t=<unix>,v1=<hex of HMAC-SHA256 over "t.body">`. The signature covers the timestamp, so that receivers can reject
/// replays.
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

/// Checks that a callback URL is supported.
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
    fn a_signature_matches_other_implementations() {
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
