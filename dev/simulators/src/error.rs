//! Error responses: a status and `{"code", "message"}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// The maximum length of an `Idempotency-Key` and of any text field, in characters.
pub const MAX_TEXT_CHARS: usize = 255;

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable code, for programs.
    pub code: &'static str,
    /// The explanation, for people.
    pub message: String,
}

impl ServiceError {
    /// An error with its own status and code.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// 400 `invalid_request`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// 404 `not_found`.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no such {what}"),
        )
    }

    /// 422 `idempotency_key_reused`.
    pub fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this Idempotency-Key was used with another body before",
        )
    }

    /// 500 `internal`: an injected failure.
    pub fn simulated_failure() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "a simulated failure; nothing was done",
        )
    }

    /// 503 `store_full`.
    pub fn full() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_full",
            "the store is full, and no stored payment is finished",
        )
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "message": self.message });
        (self.status, Json(body)).into_response()
    }
}

impl From<QueryRejection> for ServiceError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

/// A JSON body. The content type is ignored.
///
/// # Errors
/// 413 when it is too large, 400 when it doesn't parse. serde's message names the field.
pub fn read_json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, ServiceError> {
    let body = body.map_err(|rejection| {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            "body_too_large"
        } else {
            "invalid_request"
        };
        ServiceError::new(rejection.status(), code, rejection.body_text())
    })?;
    serde_json::from_slice(&body).map_err(|error| ServiceError::invalid(error.to_string()))
}

/// The request's `Idempotency-Key`.
///
/// # Errors
/// 400 when it is missing, empty, too long or not visible ASCII.
pub fn idempotency_key(headers: &HeaderMap) -> Result<&str, ServiceError> {
    let key = headers
        .get("idempotency-key")
        .ok_or_else(|| ServiceError::invalid("the header Idempotency-Key is required"))?;
    match key.to_str() {
        Ok(key) if (1..=MAX_TEXT_CHARS).contains(&key.len()) => Ok(key),
        _ => Err(ServiceError::invalid(
            "Idempotency-Key must be 1 to 255 visible ASCII characters",
        )),
    }
}

/// Checks a required text field.
///
/// # Errors
/// 400 when it is empty or too long.
pub fn check_text(field: &str, text: &str) -> Result<(), ServiceError> {
    if (1..=MAX_TEXT_CHARS).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(ServiceError::invalid(format!(
        "`{field}` must be 1 to 255 characters long"
    )))
}
