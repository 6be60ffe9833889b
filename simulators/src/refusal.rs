//! What a client is told when its request is refused: a status and `{"code", "message"}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// The longest `Idempotency-Key`, and the longest text of any field, in characters.
pub const LONGEST_TEXT: usize = 255;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// For programs. It stays the same.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// Any refusal.
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
            "this Idempotency-Key came with another body before",
        )
    }

    /// 500 `internal`: a failure that was asked for.
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
            "everything that is remembered is unfinished, and there is no room for more",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "message": self.message });
        (self.status, Json(body)).into_response()
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

/// A JSON body, whatever its content type says.
///
/// # Errors
/// 413 when it is too large, 400 when it is not what is expected; serde's message names the field.
pub fn read_json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|rejection| {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            "body_too_large"
        } else {
            "invalid_request"
        };
        Refusal::new(rejection.status(), code, rejection.body_text())
    })?;
    serde_json::from_slice(&body).map_err(|error| Refusal::invalid(error.to_string()))
}

/// The request's `Idempotency-Key`.
///
/// # Errors
/// 400 when it is missing, empty, too long or not visible ASCII.
pub fn idempotency_key(headers: &HeaderMap) -> Result<&str, Refusal> {
    let key = headers
        .get("idempotency-key")
        .ok_or_else(|| Refusal::invalid("the header Idempotency-Key is required"))?;
    match key.to_str() {
        Ok(key) if (1..=LONGEST_TEXT).contains(&key.len()) => Ok(key),
        _ => Err(Refusal::invalid(
            "Idempotency-Key must be 1 to 255 visible ASCII characters",
        )),
    }
}

/// A text that must say something.
///
/// # Errors
/// 400 when it is empty or too long; the message names the field.
pub fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if (1..=LONGEST_TEXT).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "`{field}` must be 1 to 255 characters long"
    )))
}
