//! The request to authorize a payment, and the test tokens that stand for cards.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::error::{ServiceError, check_text};

/// Above any real order, and small enough that the totals of a full store can't overflow.
const MAX_AMOUNT: i64 = 1_000_000_000_000;

/// The body of `POST /v1/payments`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizeRequest {
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) payment_token: String,
    /// The shop's identifier of what is paid: the id of the order.
    pub(super) reference: String,
}

/// How a test card behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CardToken {
    Ok,
    Declined,
    Timeout,
    Flaky,
}

impl AuthorizeRequest {
    /// Validates all fields and parses the token.
    pub(super) fn check(&self) -> Result<CardToken, ServiceError> {
        if !(1..=MAX_AMOUNT).contains(&self.amount) {
            return Err(ServiceError::invalid(format!(
                "`amount` must be 1 to {MAX_AMOUNT}, in minor units"
            )));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(ServiceError::invalid("`currency` must be three capital letters"));
        }
        check_text("reference", &self.reference)?;
        match self.payment_token.as_str() {
            "tok_ok" => Ok(CardToken::Ok),
            "tok_declined" => Ok(CardToken::Declined),
            "tok_timeout" => Ok(CardToken::Timeout),
            "tok_flaky" => Ok(CardToken::Flaky),
            _ => Err(ServiceError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unknown_token",
                "`payment_token` must be tok_ok, tok_declined, tok_timeout or tok_flaky",
            )),
        }
    }
}
