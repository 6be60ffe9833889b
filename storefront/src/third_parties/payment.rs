//! The payment gateway: authorize, capture, void, and look up what became of a payment.
//!
//! The gateway is asked under an idempotency key, the order's id: asked twice, it answers with the first payment. So a
//! call whose answer was lost is asked again, or looked up by its key, and charges nobody twice. The outcome `Unknown`
//! is no failure: the money may be held.

use std::time::{Duration, Instant};

use clap::Args;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ClientError, base_url, http_client, in_its_trace, outcome_of};
use crate::money::Money;
use crate::settings::parse_millis;
use crate::telemetry::ThirdParty;

/// How often a gateway that answers with a fault is asked within the deadline.
const ATTEMPTS: u32 = 3;

/// Before the second attempt; twice as long before the third.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How to reach the payment gateway.
#[derive(Debug, Clone, Args)]
pub struct PaymentSettings {
    /// The payment gateway
    #[arg(long, env = "BACKSTOCK_PAYMENT_URL", default_value = "http://127.0.0.1:8090")]
    pub payment_url: Url,

    /// How long an answer of the payment gateway is waited for, in milliseconds. After it the outcome is unknown and
    /// the order settles later
    #[arg(long = "payment-timeout-ms", env = "BACKSTOCK_PAYMENT_TIMEOUT_MS", default_value = "5000",
          value_parser = parse_millis)]
    pub payment_timeout: Duration,
}

/// What is to be paid for one order.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// The order, whose id is the idempotency key.
    pub order: Uuid,
    /// How much.
    pub total: Money,
    /// The gateway's name for the means of payment, from the customer.
    pub payment_token: &'a str,
}

/// What the gateway said to an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorized {
    /// The money is held.
    Authorized {
        /// The gateway's name for the payment.
        payment_id: String,
    },
    /// The bank said no.
    Declined {
        /// In the gateway's words.
        reason: String,
    },
    /// The gateway doesn't know the token: nothing was asked of any bank.
    UnknownToken,
    /// No answer in time, or a fault: the money may be held.
    Unknown,
}

/// What became of a capture or a void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is so, now or already.
    Done,
    /// The payment is in a state that doesn't allow it, or there is no such payment.
    Refused,
    /// No answer in time, or a fault: it may be so.
    Unknown,
}

/// What the gateway has under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A payment.
    Payment {
        /// The gateway's name for it.
        payment_id: String,
        /// Where it stands.
        status: PaymentStatus,
    },
    /// There is no payment under that key: none was asked for, or the gateway didn't know the means of payment.
    Nothing,
    /// An answer to this question that can't be understood: a status that this build doesn't know, or a refusal. It says
    /// nothing about other payments.
    Unclear,
    /// No answer in time, or a fault, or the shop itself is refused: the next question would fare no better.
    Unanswered,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The money is held.
    Authorized,
    /// The money was taken.
    Captured,
    /// The money was let go.
    Voided,
    /// The bank said no.
    Declined,
}

/// The gateway's client.
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
    /// Builds the client. Connects to nothing yet.
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

    /// How long any call takes at most.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Holds the money for an order. Asking again for the same order gives the payment that is there.
    pub async fn authorize(&self, authorization: Authorization<'_>) -> Authorized {
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
        let Some(response) = self.ask("authorize", request).await else {
            return Authorized::Unknown;
        };
        match response.status() {
            StatusCode::CREATED | StatusCode::OK => match response.json::<Payment>().await {
                Ok(payment) if payment.status == PaymentStatus::Declined => Authorized::Declined {
                    reason: "declined".to_owned(),
                },
                Ok(payment) => Authorized::Authorized {
                    payment_id: payment.id,
                },
                Err(_) => Authorized::Unknown,
            },
            StatusCode::PAYMENT_REQUIRED => Authorized::Declined {
                reason: match response.json::<Refusal>().await {
                    Ok(refusal) if !refusal.message.is_empty() => refusal.message,
                    _ => "declined".to_owned(),
                },
            },
            StatusCode::UNPROCESSABLE_ENTITY => match response.json::<Refusal>().await {
                Ok(refusal) if refusal.code == "unknown_token" => Authorized::UnknownToken,
                _ => Authorized::Unknown,
            },
            _ => Authorized::Unknown,
        }
    }

    /// Takes the money that is held.
    pub async fn capture(&self, payment_id: &str) -> Changed {
        self.change(payment_id, "capture").await
    }

    /// Lets the money go that is held.
    pub async fn void(&self, payment_id: &str) -> Changed {
        self.change(payment_id, "void").await
    }

    /// What became of an order's payment, for those who lost the answer.
    pub async fn look_up(&self, order: Uuid) -> Found {
        let request = || {
            self.http
                .get(format!("{}/v1/payments?idempotency_key={order}", self.url))
        };
        let Some(response) = self.ask("look_up", request).await else {
            return Found::Unanswered;
        };
        match response.status() {
            StatusCode::OK => match response.json::<Payment>().await {
                Ok(payment) => Found::Payment {
                    payment_id: payment.id,
                    status: payment.status,
                },
                Err(error) if error.is_decode() => Found::Unclear,
                Err(_) => Found::Unanswered,
            },
            StatusCode::NOT_FOUND => Found::Nothing,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                Found::Unanswered
            }
            _ => Found::Unclear,
        }
    }

    async fn change(&self, payment_id: &str, verb: &'static str) -> Changed {
        let request = || {
            self.http
                .post(format!("{}/v1/payments/{payment_id}/{verb}", self.url))
        };
        match self.ask(verb, request).await.map(|response| response.status()) {
            Some(status) if status.is_success() => Changed::Done,
            Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) => {
                Changed::Refused
            }
            _ => Changed::Unknown,
        }
    }

    /// Asks, and asks again after a fault of the gateway's or a lost connection, all within one deadline. `None` when
    /// no answer came that is worth reading. Everything that is asked may be asked twice.
    async fn ask(&self, operation: &'static str, request: impl Fn() -> RequestBuilder) -> Option<Response> {
        let call = ThirdParty::called("payment", operation);
        let answer = self.insist(|| in_its_trace(request(), &call)).await;
        call.ended(outcome_of(answer.as_ref().map(Response::status)));
        answer
    }

    async fn insist(&self, request: impl Fn() -> RequestBuilder) -> Option<Response> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let left = self.timeout.checked_sub(started.elapsed())?;
            match request().timeout(left).send().await {
                Ok(response) if !response.status().is_server_error() => return Some(response),
                Ok(response) => {
                    tracing::warn!(attempt, status = %response.status(), "the payment gateway failed")
                }
                Err(error) => tracing::warn!(attempt, %error, "the payment gateway gave no answer"),
            }
            if attempt < ATTEMPTS && started.elapsed() + pause < self.timeout {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        None
    }
}
