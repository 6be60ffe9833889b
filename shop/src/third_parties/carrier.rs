//! The client of the parcel carrier, for labels. Its webhooks, which report delivered parcels,
//! come to the api.
//!
//! The order's id is the idempotency key of its label: a repeated request returns the first label, so that
//! one parcel is sent. A request whose response was lost can be retried.

use std::time::Duration;

use clap::Args;
use platform::settings::parse_millis;
use platform::telemetry::ThirdPartyCall;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{ClientError, base_url, http_client, outcome_label, with_traceparent};

/// The carrier's reason is truncated to this.
const MAX_REASON_CHARS: usize = 200;

/// How to reach the carrier.
#[derive(Debug, Clone, Args)]
pub struct CarrierSettings {
    /// The parcel carrier
    #[arg(long, env = "BACKSTOCK_CARRIER_URL", default_value = "http://127.0.0.1:8091")]
    pub carrier_url: Url,

    /// How long to wait for a response of the carrier before retrying, in milliseconds
    #[arg(long = "carrier-timeout-ms", env = "BACKSTOCK_CARRIER_TIMEOUT_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub carrier_timeout: Duration,

    /// Where the carrier reports delivered parcels: the URL of the api's /v1/webhooks/carrier as the carrier
    /// reaches it. Without it, orders stay `fulfilled`
    #[arg(long, env = "BACKSTOCK_CARRIER_CALLBACK_URL")]
    pub carrier_callback_url: Option<Url>,
}

/// A parcel that needs a label.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'a> {
    /// The order, whose id is the idempotency key.
    pub order: Uuid,
    /// `standard` or `express`.
    pub service: &'a str,
    /// As stored with the order.
    pub address: &'a Value,
}

/// A shipping label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// The carrier's id.
    pub id: String,
    pub tracking_number: String,
}

/// The outcome of a request for a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelOutcome {
    /// There is a label, now or before.
    Created(Label),
    /// Rejected permanently, for example because the carrier doesn't deliver there.
    Rejected { reason: String },
    /// A timeout or a fault: there may be a label. Retry.
    Unknown { why: String },
}

/// The parcel carrier's client. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct Carrier {
    http: reqwest::Client,
    url: String,
    timeout: Duration,
    callback_url: Option<Url>,
}

#[derive(Serialize)]
struct NewLabel<'a> {
    reference: Uuid,
    service: &'a str,
    address: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_url: Option<&'a str>,
}

impl Carrier {
    /// Builds the client, without connecting.
    ///
    /// # Errors
    /// When the HTTP client can't be built.
    pub fn new(settings: &CarrierSettings) -> Result<Self, ClientError> {
        Ok(Self {
            http: http_client()?,
            url: base_url(&settings.carrier_url),
            timeout: settings.carrier_timeout,
            callback_url: settings.carrier_callback_url.clone(),
        })
    }

    /// Requests a label. A repeated request for the same order returns its existing label.
    pub async fn create_label(&self, parcel: Parcel<'_>) -> LabelOutcome {
        let body = NewLabel {
            reference: parcel.order,
            service: parcel.service,
            address: parcel.address,
            callback_url: self.callback_url.as_ref().map(Url::as_str),
        };
        let call = ThirdPartyCall::start("carrier", "create_label");
        let request = self
            .http
            .post(format!("{}/v1/labels", self.url))
            .header("idempotency-key", parcel.order.to_string())
            .timeout(self.timeout)
            .json(&body);
        let unknown = |error: &reqwest::Error| LabelOutcome::Unknown {
            why: format!("the carrier did not respond: {error}"),
        };
        let sent = with_traceparent(request, &call).send().await;
        call.finish(outcome_label(sent.as_ref().ok().map(reqwest::Response::status)));
        let response = match sent {
            Ok(response) => response,
            Err(error) => return unknown(&error),
        };
        let status = response.status();
        if status.is_success() {
            return match response.json::<Label>().await {
                Ok(label) => LabelOutcome::Created(label),
                Err(error) => unknown(&error),
            };
        }
        let message = response.text().await.unwrap_or_default();
        let message: String = message.chars().take(MAX_REASON_CHARS).collect();
        let why = format!("the carrier answered {status}: {message}");
        // An overload, a fault or a rate limit is transient. Any other 4xx is about this parcel.
        let is_transient = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
        if status.is_client_error() && !is_transient {
            LabelOutcome::Rejected { reason: why }
        } else {
            LabelOutcome::Unknown { why }
        }
    }
}
