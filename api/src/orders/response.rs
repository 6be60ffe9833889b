//! The response to a request that placed an order, from its outcome alone.

use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use indexmap::IndexMap;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::order_tokens::OrderTokens;
use crate::opaque_token::TokenHash;
use crate::web::error::ApiError;

/// An order: its id, and the hash of a guest's order token.
type OrderRef = (Uuid, Option<TokenHash>);

/// How a request to place an order ended. A `body` is the order as JSON, as it is stored under the request's key: without
/// the order token.
#[derive(Debug)]
pub(super) enum OrderOutcome {
    /// Placed. Its status may have changed since.
    Placed { order: OrderRef, body: Vec<u8> },
    /// Placed. The gateway didn't respond, so the worker settles the order later.
    Pending { order: OrderRef, body: Vec<u8> },
    /// The bank declined the payment.
    Declined,
    /// The gateway doesn't know the payment token.
    UnknownPaymentToken,
    /// The stored response of an earlier request with the same key.
    Replayed {
        order: OrderRef,
        status: i16,
        body: Vec<u8>,
    },
}

/// Builds the response.
///
/// # Errors
/// 402 when the payment was declined; 400 for an unknown payment token.
pub(super) fn respond(tokens: &OrderTokens, outcome: OrderOutcome) -> Result<Response, ApiError> {
    match outcome {
        OrderOutcome::Placed { order, body } => order_response(tokens, order, StatusCode::CREATED, body),
        OrderOutcome::Pending { order, body } => order_response(tokens, order, StatusCode::ACCEPTED, body),
        OrderOutcome::Declined => Err(ApiError::Declined),
        OrderOutcome::UnknownPaymentToken => Err(ApiError::parameter(
            "payment_token",
            "is unknown to the payment gateway; nothing was ordered",
        )),
        OrderOutcome::Replayed { order, status, body } => {
            let mut response = match status {
                402 => ApiError::Declined.into_response(),
                _ => order_response(tokens, order, StatusCode::CREATED, body)?,
            };
            let replayed = HeaderName::from_static("idempotency-replayed");
            response
                .headers_mut()
                .insert(replayed, HeaderValue::from_static("true"));
            Ok(response)
        }
    }
}

/// The order; a guest's with its token. The token isn't stored with the response: it is derived again, as long as its
/// key exists.
fn order_response(
    tokens: &OrderTokens,
    (order, token_hash): OrderRef,
    status: StatusCode,
    mut body: Vec<u8>,
) -> Result<Response, ApiError> {
    if let Some(token) = token_hash.and_then(|hash| tokens.derive_again(order, &hash)) {
        body = with_token(&body, &token.text()).map_err(ApiError::internal)?;
    }
    let location = HeaderValue::try_from(format!("/v1/orders/{order}")).map_err(ApiError::internal)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (LOCATION, location),
    ];
    Ok((status, headers, body).into_response())
}

/// Copies the other values unparsed.
fn with_token(order: &[u8], token: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields: IndexMap<&str, &RawValue> = serde_json::from_slice(order)?;
    let token = to_raw_value(token)?;
    fields.insert("order_token", &token);
    serde_json::to_vec(&fields)
}
