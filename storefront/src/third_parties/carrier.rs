//! The parcel carrier: labels. Its callbacks, which say that a parcel was delivered, come to the api.
//!
//! A label is asked for under an idempotency key, the order's id: asked twice, the carrier answers with the first label,
//! and one parcel is sent. So an answer that was lost is asked for again.

use std::time::Duration;

use clap::Args;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{ClientError, base_url, http_client, in_its_trace, outcome_of};
use crate::settings::parse_millis;
use crate::telemetry::ThirdParty;

/// The longest reason of the carrier's that is kept.
const MAX_REASON_CHARS: usize = 200;

/// How to reach the carrier.
#[derive(Debug, Clone, Args)]
pub struct CarrierSettings {
    /// The parcel carrier
    #[arg(long, env = "BACKSTOCK_CARRIER_URL", default_value = "http://127.0.0.1:8091")]
    pub carrier_url: Url,

    /// How long an answer of the carrier is waited for before it is asked again, in milliseconds
    #[arg(long = "carrier-timeout-ms", env = "BACKSTOCK_CARRIER_TIMEOUT_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub carrier_timeout: Duration,

    /// Where the carrier says that a parcel was delivered: the api's /v1/webhooks/carrier, as the carrier reaches it.
    /// Without it, orders stay `fulfilled`
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
    /// Where it goes, as the order keeps it.
    pub address: &'a Value,
}

/// A label that was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// The carrier's name for it.
    pub id: String,
    /// What the customer follows the parcel with.
    pub tracking_number: String,
}

/// What the carrier said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labelled {
    /// There is a label, now or already.
    Made(Label),
    /// It makes none, however often it is asked; for example it doesn't deliver there.
    Refused {
        /// In the carrier's words.
        reason: String,
    },
    /// No answer in time, or a fault: there may be a label. Ask again.
    Unknown {
        /// What is known.
        why: String,
    },
}

/// The carrier's client.
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
    /// Builds the client. Connects to nothing yet.
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

    /// Has a label made. Asking again for the same order gives the label that is there.
    pub async fn create_label(&self, parcel: Parcel<'_>) -> Labelled {
        let body = NewLabel {
            reference: parcel.order,
            service: parcel.service,
            address: parcel.address,
            callback_url: self.callback_url.as_ref().map(Url::as_str),
        };
        let call = ThirdParty::called("carrier", "create_label");
        let request = self
            .http
            .post(format!("{}/v1/labels", self.url))
            .header("idempotency-key", parcel.order.to_string())
            .timeout(self.timeout)
            .json(&body);
        let unknown = |error: &reqwest::Error| Labelled::Unknown {
            why: format!("the carrier gave no answer: {error}"),
        };
        let sent = in_its_trace(request, &call).send().await;
        call.ended(outcome_of(sent.as_ref().ok().map(reqwest::Response::status)));
        let response = match sent {
            Ok(response) => response,
            Err(error) => return unknown(&error),
        };
        let status = response.status();
        if status.is_success() {
            return match response.json::<Label>().await {
                Ok(label) => Labelled::Made(label),
                Err(error) => unknown(&error),
            };
        }
        let said = response.text().await.unwrap_or_default();
        let said: String = said.chars().take(MAX_REASON_CHARS).collect();
        let why = format!("the carrier answered {status}: {said}");
        // It was busy or broken, or we were too fast: that passes. Any other 4xx says that the parcel is at fault.
        let may_pass = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
        if status.is_client_error() && !may_pass {
            Labelled::Refused { reason: why }
        } else {
            Labelled::Unknown { why }
        }
    }
}
