//! What a shop asks the gateway to authorize, and the tokens that stand for cards.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::refusal::{Refusal, check_text};

/// Above any order of a shop, and small enough that sums of a full store stay exact.
const LARGEST_AMOUNT: i64 = 1_000_000_000_000;

/// The body of `POST /v1/payments`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// In minor units.
    pub(super) amount: i64,
    /// ISO 4217.
    pub(super) currency: String,
    pub(super) payment_token: String,
    /// The shop's own name of what is paid: an order's id.
    pub(super) reference: String,
}

/// What a card does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Ok,
    Declined,
    Timeout,
    Flaky,
}

impl Order {
    /// The token, when all fields make sense.
    pub(super) fn check(&self) -> Result<Token, Refusal> {
        if !(1..=LARGEST_AMOUNT).contains(&self.amount) {
            return Err(Refusal::invalid(format!(
                "`amount` must be 1 to {LARGEST_AMOUNT}, in minor units"
            )));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Refusal::invalid("`currency` must be three capital letters"));
        }
        check_text("reference", &self.reference)?;
        match self.payment_token.as_str() {
            "tok_ok" => Ok(Token::Ok),
            "tok_declined" => Ok(Token::Declined),
            "tok_timeout" => Ok(Token::Timeout),
            "tok_flaky" => Ok(Token::Flaky),
            _ => Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unknown_token",
                "`payment_token` must be tok_ok, tok_declined, tok_timeout or tok_flaky",
            )),
        }
    }
}
