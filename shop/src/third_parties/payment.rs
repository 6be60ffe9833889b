//! The client of the payment gateway: authorize, capture, void, and look up.
//!
//! The order's id is the idempotency key of its payment: a repeated request returns the first payment. So a
//! call whose response was lost can be retried, or looked up by its key, without charging a customer twice.
//! The outcome `Unknown` is not a failure: the money may be held.

use std::time::{Duration, Instant};

use clap::Args;
use platform::settings::parse_millis;
use platform::telemetry::ThirdPartyCall;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ClientError, base_url, http_client, outcome_label, with_traceparent};
use crate::money::Money;

/// Attempts within the timeout, when the gateway responds with a server error.
const ATTEMPTS: u32 = 3;

/// Before the second attempt; twice as long before the third.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How to reach the payment gateway.
#[derive(Debug, Clone, Args)]
pub struct PaymentSettings {
    /// The payment gateway
    #[arg(long, env = "BACKSTOCK_PAYMENT_URL", default_value = "http://127.0.0.1:8090")]
    pub payment_url: Url,

    /// How long to wait for a response of the payment gateway, in milliseconds. After it the outcome is
    /// unknown, and the worker reconciles the order later
    #[arg(long = "payment-timeout-ms", env = "BACKSTOCK_PAYMENT_TIMEOUT_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub payment_timeout: Duration,
}

/// An authorization for one order.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// The order, whose id is the idempotency key.
    pub order: Uuid,
    pub total: Money,
    /// The gateway's token for the payment method, from the customer.
    pub payment_token: &'a str,
}

/// The outcome of an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationOutcome {
    /// The money is held.
    Authorized {
        /// The gateway's id of the payment.
        payment_id: String,
    },
    /// Declined by the bank.
    Declined { reason: String },
    /// The gateway doesn't know the token, so no bank was involved.
    UnknownToken,
    /// A timeout or a fault: the money may be held.
    Unknown,
}

/// The outcome of a capture or a void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// Done, now or before.
    Done,
    /// The payment's status doesn't allow it, or there is no such payment.
    Refused,
    /// A timeout or a fault: it may have taken effect.
    Unknown,
}

/// The payment under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentLookup {
    Payment {
        /// The gateway's id.
        payment_id: String,
        status: PaymentStatus,
    },
    /// There is no payment under that key: none was requested, or the gateway didn't know the payment token.
    Nothing,
    /// The response for this payment can't be interpreted: an unknown status, or a rejection. Other lookups
    /// may work.
    Unclear,
    /// A timeout or a fault, or the gateway rejects the shop itself: other lookups would fail too.
    Unanswered,
}

/// A payment's state at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The money is held.
    Authorized,
    /// The money was taken.
    Captured,
    /// The money was released.
    Voided,
    /// Declined by the bank.
    Declined,
}

/// The gateway's client. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct PaymentGateway {
    http: reqwest::Client,
    url: String,
    timeout: Duration,
}

#[derive(Serialize)]
struct NewPayment<'a> {
    amount: i64,
    currency: &'a str,
    payment_token: &'a str,
    reference: Uuid,
}

#[derive(Deserialize)]
struct Payment {
    id: String,
    status: PaymentStatus,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

impl PaymentGateway {
    /// Builds the client, without connecting.
    ///
    /// # Errors
    /// When the HTTP client can't be built.
    pub fn new(settings: &PaymentSettings) -> Result<Self, ClientError> {
        Ok(Self {
            http: http_client()?,
            url: base_url(&settings.payment_url),
            timeout: settings.payment_timeout,
        })
    }

    /// The time limit of any call.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Authorizes the payment of an order. A repeated request for the same order
    /// returns its existing payment.
    pub async fn authorize(&self, authorization: Authorization<'_>) -> AuthorizationOutcome {
        let body = NewPayment {
            amount: authorization.total.amount,
            currency: authorization.total.currency.as_str(),
            payment_token: authorization.payment_token,
            reference: authorization.order,
        };
        let request = || {
            self.http
                .post(format!("{}/v1/payments", self.url))
                .header("idempotency-key", authorization.order.to_string())
                .json(&body)
        };
        let Some(response) = self.send("authorize", request).await else {
            return AuthorizationOutcome::Unknown;
        };
        match response.status() {
            StatusCode::CREATED | StatusCode::OK => match response.json::<Payment>().await {
                Ok(payment) if payment.status == PaymentStatus::Declined => AuthorizationOutcome::Declined {
                    reason: "declined".to_owned(),
                },
                Ok(payment) => AuthorizationOutcome::Authorized {
                    payment_id: payment.id,
                },
                Err(_) => AuthorizationOutcome::Unknown,
            },
            StatusCode::PAYMENT_REQUIRED => AuthorizationOutcome::Declined {
                reason: match response.json::<Refusal>().await {
                    Ok(refusal) if !refusal.message.is_empty() => refusal.message,
                    _ => "declined".to_owned(),
                },
            },
            StatusCode::UNPROCESSABLE_ENTITY => match response.json::<Refusal>().await {
                Ok(refusal) if refusal.code == "unknown_token" => AuthorizationOutcome::UnknownToken,
                _ => AuthorizationOutcome::Unknown,
            },
            _ => AuthorizationOutcome::Unknown,
        }
    }

    /// Captures an authorized payment.
    pub async fn capture(&self, payment_id: &str) -> ChangeOutcome {
        self.change(payment_id, "capture").await
    }

    /// Voids an authorized payment.
    pub async fn void(&self, payment_id: &str) -> ChangeOutcome {
        self.change(payment_id, "void").await
    }

    /// Looks up an order's payment, when the response to its authorization was lost.
    pub async fn look_up(&self, order: Uuid) -> PaymentLookup {
        let request = || {
            self.http
                .get(format!("{}/v1/payments?idempotency_key={order}", self.url))
        };
        let Some(response) = self.send("look_up", request).await else {
            return PaymentLookup::Unanswered;
        };
        match response.status() {
            StatusCode::OK => match response.json::<Payment>().await {
                Ok(payment) => PaymentLookup::Payment {
                    payment_id: payment.id,
                    status: payment.status,
                },
                Err(error) if error.is_decode() => PaymentLookup::Unclear,
                Err(_) => PaymentLookup::Unanswered,
            },
            StatusCode::NOT_FOUND => PaymentLookup::Nothing,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                PaymentLookup::Unanswered
            }
            _ => PaymentLookup::Unclear,
        }
    }

    async fn change(&self, payment_id: &str, verb: &'static str) -> ChangeOutcome {
        let request = || {
            self.http
                .post(format!("{}/v1/payments/{payment_id}/{verb}", self.url))
        };
        match self.send(verb, request).await.map(|response| response.status()) {
            Some(status) if status.is_success() => ChangeOutcome::Done,
            Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) => {
                ChangeOutcome::Refused
            }
            _ => ChangeOutcome::Unknown,
        }
    }

    /// Sends a request, with retries on server errors and lost connections, all within one timeout. `None`
    /// when there is no usable response. All requests are idempotent.
    async fn send(&self, operation: &'static str, request: impl Fn() -> RequestBuilder) -> Option<Response> {
        let call = ThirdPartyCall::start("payment", operation);
        let response = self.send_with_retry(|| with_traceparent(request(), &call)).await;
        call.finish(outcome_label(response.as_ref().map(Response::status)));
        response
    }

    async fn send_with_retry(&self, request: impl Fn() -> RequestBuilder) -> Option<Response> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let left = self.timeout.checked_sub(started.elapsed())?;
            match request().timeout(left).send().await {
                Ok(response) if !response.status().is_server_error() => return Some(response),
                Ok(response) => {
                    tracing::warn!(attempt, status = %response.status(), "the payment gateway failed")
                }
                Err(error) => tracing::warn!(attempt, %error, "the payment gateway did not respond"),
            }
            if attempt < ATTEMPTS && started.elapsed() + pause < self.timeout {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        None
    }
}
