//! The one error type of the HTTP edge: a public problem (RFC 9457), separate from the cause that is logged.

use std::borrow::Cow;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use platform::postgres::{StatementTimedOut, is_deadlock};
use serde::Serialize;

use super::slow_body::BodyTimedOut;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// An invalid parameter or field: 400 `invalid_parameter`.
    #[error("invalid parameter `{parameter}`: {detail}")]
    InvalidParameter {
        parameter: Cow<'static, str>,
        /// What is wrong with its value and what is allowed.
        detail: String,
    },
    /// No access token, or an invalid one: 401 `unauthenticated`.
    #[error("unauthenticated")]
    Unauthenticated,
    /// Unknown email or wrong password; the response doesn't say which: 401 `wrong_credentials`.
    #[error("wrong email or password")]
    WrongCredentials,
    /// A refresh token that is unknown, expired, revoked or already used: 401 `refresh_token_refused`.
    #[error("the refresh token is refused")]
    RefreshRefused,
    /// The payment was declined: 402 `payment_declined`.
    #[error("payment declined")]
    Declined,
    /// Authenticated but not authorized: 403 `forbidden`.
    #[error("forbidden")]
    Forbidden,
    /// A review by a customer who hasn't bought the product: 403 `not_bought`.
    #[error("not bought")]
    NotBought,
    /// The request conflicts with the current state: 409.
    #[error("conflict `{code}`: {detail}")]
    Conflict {
        /// A stable name for programs.
        code: &'static str,
        /// What to do about it, for people.
        detail: String,
    },
    /// The body took too long to arrive: 408 `body_timeout`.
    #[error("the body took too long to arrive")]
    BodyTimedOut,
    /// A body above the limit: 413 `payload_too_large`.
    #[error("the body is too large")]
    PayloadTooLarge,
    /// A body that is not declared as JSON: 415 `unsupported_media_type`.
    #[error("the body's media type is not supported")]
    UnsupportedMediaType,
    /// The idempotency key belongs to another request: 422 `idempotency_key_reused`.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Rate limited: 429 `too_many_attempts`, with `retry-after`.
    #[error("too many attempts; retry in {retry_after_s} s")]
    TooManyAttempts { retry_after_s: u32 },
    /// 404 `not_found`.
    #[error("not found: {0}")]
    NotFound(String),
    /// 405 `method_not_allowed`.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The request was shed under load: 503 `overloaded`, with `retry-after`.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// Postgres is unreachable: 503 `unavailable`, with `retry-after`.
    #[error("the database can't be reached")]
    Unavailable(#[source] sqlx::Error),
    /// Another dependency is unreachable: 503 `unavailable`, with `retry-after`.
    #[error("{0} can't be reached")]
    PartUnavailable(&'static str),
    /// The request exceeded its deadline: 503 `timeout`, with `retry-after`.
    #[error("the request took too long")]
    TimedOut,
    /// A bug or an unexpected failure: 500 `internal`. Its cause is logged and never sent.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// [`ApiError::InvalidParameter`]. `detail` says what the parameter accepts, and reaches the client.
    pub fn parameter(parameter: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::InvalidParameter {
            parameter: parameter.into(),
            detail: detail.into(),
        }
    }

    /// [`ApiError::Internal`]. The cause is logged and never reaches the client.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The error for a request that shared the failed one's work (single flight). The cause is logged with the failed
    /// one.
    pub fn for_follower(&self) -> Self {
        match self {
            Self::InvalidParameter { parameter, detail } => Self::InvalidParameter {
                parameter: parameter.clone(),
                detail: detail.clone(),
            },
            Self::NotFound(detail) => Self::NotFound(detail.clone()),
            Self::Overloaded(what) => Self::Overloaded(what),
            Self::PartUnavailable(what) => Self::PartUnavailable(what),
            Self::Unavailable(_) => Self::PartUnavailable("the database"),
            Self::TimedOut => Self::TimedOut,
            error => Self::internal(format!("an equal request failed: {error}")),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidParameter { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthenticated | Self::WrongCredentials | Self::RefreshRefused => StatusCode::UNAUTHORIZED,
            Self::Declined => StatusCode::PAYMENT_REQUIRED,
            Self::Forbidden | Self::NotBought => StatusCode::FORBIDDEN,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::BodyTimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Overloaded(_) | Self::Unavailable(_) | Self::PartUnavailable(_) | Self::TimedOut => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidParameter { .. } => "invalid_parameter",
            Self::Unauthenticated => "unauthenticated",
            Self::WrongCredentials => "wrong_credentials",
            Self::RefreshRefused => "refresh_token_refused",
            Self::Declined => "payment_declined",
            Self::Forbidden => "forbidden",
            Self::NotBought => "not_bought",
            Self::Conflict { code, .. } => code,
            Self::BodyTimedOut => "body_timeout",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::KeyReused => "idempotency_key_reused",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Overloaded(_) => "overloaded",
            Self::Unavailable(_) | Self::PartUnavailable(_) => "unavailable",
            Self::TimedOut => "timeout",
            Self::Internal(_) => "internal",
        }
    }

    fn detail(&self) -> Cow<'_, str> {
        match self {
            Self::InvalidParameter { detail, .. } | Self::Conflict { detail, .. } => Cow::Borrowed(detail),
            Self::Unauthenticated => {
                "sign in with POST /v1/sessions and send the access token as `authorization: Bearer …`".into()
            }
            Self::WrongCredentials => "wrong email or password".into(),
            Self::RefreshRefused => "this refresh token is not valid, or no longer; sign in again".into(),
            Self::Declined => "the payment was declined; try another payment method".into(),
            Self::Forbidden => "your account may not do this".into(),
            Self::NotBought => "only customers who bought this product can review it".into(),
            Self::BodyTimedOut => "the body took too long to arrive; send it faster".into(),
            Self::PayloadTooLarge => "the body is larger than this shop accepts".into(),
            Self::UnsupportedMediaType => "send JSON, with `content-type: application/json`".into(),
            Self::KeyReused => "this idempotency key belongs to another request; use a new one".into(),
            Self::TooManyAttempts { .. } => {
                "too many attempts; try again after the seconds in `retry-after`".into()
            }
            Self::NotFound(what) => Cow::Borrowed(what),
            Self::MethodNotAllowed => "this path doesn't support the method; see /openapi.json".into(),
            Self::Overloaded(_) => {
                "too many requests at once; try again after the seconds in `retry-after`".into()
            }
            Self::Unavailable(_) => "the shop can't reach its database; try again soon".into(),
            Self::PartUnavailable(_) => {
                "a part of the shop can't be reached; nothing was changed; try again soon".into()
            }
            Self::TimedOut => "the request took too long and was aborted; try again".into(),
            Self::Internal(_) => {
                "something went wrong on our side; its cause is logged under this request id".into()
            }
        }
    }

    /// What is logged. Client errors aren't.
    fn failure(&self) -> Option<Failure> {
        match self {
            Self::Internal(cause) => Some(Failure::Error(Chain(cause.as_ref()).to_string())),
            Self::Unavailable(cause) => Some(Failure::Error(Chain(cause).to_string())),
            Self::PartUnavailable(_) => Some(Failure::Warning(self.to_string())),
            Self::Overloaded(what) => Some(Failure::Warning((*what).to_owned())),
            Self::TimedOut => Some(Failure::Warning("timed out".to_owned())),
            Self::InvalidParameter { .. }
            | Self::Unauthenticated
            | Self::WrongCredentials
            | Self::RefreshRefused
            | Self::Declined
            | Self::Forbidden
            | Self::NotBought
            | Self::Conflict { .. }
            | Self::BodyTimedOut
            | Self::PayloadTooLarge
            | Self::UnsupportedMediaType
            | Self::KeyReused
            | Self::TooManyAttempts { .. }
            | Self::NotFound(_)
            | Self::MethodNotAllowed => None,
        }
    }
}

/// The cause of a failed request, carried to the outermost layer, which logs it once with the request id.
#[derive(Debug, Clone)]
pub enum Failure {
    /// A bug or an unexpected failure.
    Error(String),
    /// Overload or a timeout, expected now and then.
    Warning(String),
}

impl Failure {
    /// Logs it, with what it was about.
    pub fn log(&self, request_id: &str, method: &Method, uri: &Uri) {
        match self {
            Self::Error(cause) => tracing::error!(request_id, %method, %uri, cause, "request failed"),
            Self::Warning(cause) => tracing::warn!(request_id, %method, %uri, cause, "request refused"),
        }
    }
}

/// A failed statement is an internal error, unless Postgres is overloaded or unreachable.
impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        const TOO_MANY_CONNECTIONS: &str = "53300";
        const QUERY_CANCELED: &str = "57014";
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        const IDLE_IN_TRANSACTION: &str = "25P03";
        match &error {
            _ if is_deadlock(&error) => Self::Overloaded("Postgres ended a transaction that met a deadlock"),
            sqlx::Error::Io(cause)
                if cause
                    .get_ref()
                    .is_some_and(|cause| cause.is::<StatementTimedOut>()) =>
            {
                Self::TimedOut
            }
            sqlx::Error::PoolTimedOut => Self::Overloaded("no database connection came free in time"),
            sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error)
            }
            sqlx::Error::Database(fault) => match fault.code().as_deref() {
                Some(TOO_MANY_CONNECTIONS) => Self::Overloaded("Postgres has no connection left"),
                Some(QUERY_CANCELED | IDLE_IN_TRANSACTION) => Self::TimedOut,
                // A lock that is held for so long is under contention.
                Some(LOCK_NOT_AVAILABLE) => Self::Overloaded("another transaction holds a lock for too long"),
                // Class 57: operator intervention, such as a shutdown.
                Some(code) if code.starts_with("57") => Self::Unavailable(error),
                _ => Self::internal(error),
            },
            _ => Self::internal(error),
        }
    }
}

/// A body that couldn't be read.
impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        let mut cause = std::error::Error::source(&rejection);
        while let Some(error) = cause {
            if error.is::<BodyTimedOut>() {
                return Self::BodyTimedOut;
            }
            cause = error.source();
        }
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            _ => Self::parameter("body", "ended before it was complete"),
        }
    }
}

/// The body of an error, `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem<'a> {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status's reason phrase.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A stable name for programs.
    code: &'static str,
    /// What to do about it, for people.
    detail: &'a str,
    /// The invalid parameter, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let detail = self.detail();
        let parameter = match &self {
            Self::InvalidParameter { parameter, .. } => Some(parameter.as_ref()),
            _ => None,
        };
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: self.code(),
            detail: &detail,
            parameter,
        };
        let body = serde_json::to_vec(&problem).expect("strings and numbers always serialize");
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        let headers = response.headers_mut();
        match &self {
            Self::TooManyAttempts { retry_after_s } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // RFC 9110 requires it with every 401.
            _ if status == StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        if let Some(failure) = self.failure() {
            response.extensions_mut().insert(failure);
        }
        response
    }
}

/// An error and its causes on one line.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
