//! The one error of the HTTP edge: a public problem (RFC 9457) apart from the logged cause.

use std::borrow::Cow;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::database::deadlock::is_deadlock;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A parameter's value can't be used: 400 `invalid_parameter`.
    #[error("invalid parameter `{parameter}`: {detail}")]
    InvalidParameter {
        /// Its name.
        parameter: Cow<'static, str>,
        /// What is wrong with its value and what is allowed.
        detail: String,
    },
    /// No access token, or none that is accepted: 401 `unauthenticated`.
    #[error("unauthenticated")]
    Unauthenticated,
    /// No such email, or not its password; nobody is told which: 401 `wrong_credentials`.
    #[error("wrong email or password")]
    WrongCredentials,
    /// A refresh token that is unknown, expired, revoked or was used before: 401 `refresh_token_refused`.
    #[error("the refresh token is refused")]
    RefreshRefused,
    /// The payment was declined: 402 `payment_declined`.
    #[error("payment declined")]
    Declined,
    /// Signed in, and not allowed: 403 `forbidden`.
    #[error("forbidden")]
    Forbidden,
    /// A review of something that its author hasn't bought: 403 `not_bought`.
    #[error("not bought")]
    NotBought,
    /// What is there stands against it: 409.
    #[error("conflict `{code}`: {detail}")]
    Conflict {
        /// A stable name for programs.
        code: &'static str,
        /// What to do about it, for people.
        detail: String,
    },
    /// A body above the limit: 413 `payload_too_large`.
    #[error("the body is too large")]
    PayloadTooLarge,
    /// A body that is not declared as JSON: 415 `unsupported_media_type`.
    #[error("the body's media type is not supported")]
    UnsupportedMediaType,
    /// The idempotency key stands for another request: 422 `idempotency_key_reused`.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Too many attempts of late: 429 `too_many_attempts`, with `retry-after`.
    #[error("too many attempts; again in {retry_after_s} s")]
    TooManyAttempts {
        /// Seconds until it may be tried again.
        retry_after_s: u32,
    },
    /// No such thing: 404 `not_found`.
    #[error("not found: {0}")]
    NotFound(String),
    /// The path exists, the method doesn't: 405 `method_not_allowed`.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// More requests than the service takes: 503 `overloaded`, with `retry-after`.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// Postgres can't be reached: 503 `unavailable`, with `retry-after`.
    #[error("the database can't be reached")]
    Unavailable(#[source] sqlx::Error),
    /// Something else that the request can't do without can't be reached: 503 `unavailable`, with `retry-after`.
    #[error("{0} can't be reached")]
    PartUnavailable(&'static str),
    /// The request took longer than the service allows: 503 `timeout`, with `retry-after`.
    #[error("the request took too long")]
    TimedOut,
    /// A fault of ours: 500 `internal`. Its cause is logged and never sent.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// A 400 for a parameter.
    pub fn parameter(parameter: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::InvalidParameter {
            parameter: parameter.into(),
            detail: detail.into(),
        }
    }

    /// A 500 for a fault of ours.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The same for a request that waited for the one that failed. The cause is logged with that one.
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
                "sign in with POST /v1/sessions, and send its token as `authorization: Bearer …`".into()
            }
            Self::WrongCredentials => "this email and password don't belong together".into(),
            Self::RefreshRefused => "this refresh token is not, or no longer, good; sign in again".into(),
            Self::Declined => "the payment was declined; try another way to pay".into(),
            Self::Forbidden => "your account may not do this".into(),
            Self::NotBought => "a product is reviewed by who has bought and paid it".into(),
            Self::PayloadTooLarge => "the body is larger than this shop reads".into(),
            Self::UnsupportedMediaType => "send JSON, with `content-type: application/json`".into(),
            Self::KeyReused => "this idempotency key stands for another request; use a new one".into(),
            Self::TooManyAttempts { .. } => {
                "too many attempts; try again after the seconds in `retry-after`".into()
            }
            Self::NotFound(what) => Cow::Borrowed(what),
            Self::MethodNotAllowed => "this path has other methods; see /openapi.json".into(),
            Self::Overloaded(_) => {
                "too many requests at once; try again after the seconds in `retry-after`".into()
            }
            Self::Unavailable(_) => "the shop can't reach its database; try again soon".into(),
            Self::PartUnavailable(_) => {
                "a part of the shop can't be reached; nothing was changed; try again soon".into()
            }
            Self::TimedOut => "the request took too long and was given up; try again".into(),
            Self::Internal(_) => {
                "something broke on our side; its cause is logged under this request id".into()
            }
        }
    }

    /// What the log says. Faults of the client are its own to see.
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
            | Self::PayloadTooLarge
            | Self::UnsupportedMediaType
            | Self::KeyReused
            | Self::TooManyAttempts { .. }
            | Self::NotFound(_)
            | Self::MethodNotAllowed => None,
        }
    }
}

/// The cause of a failed request, on its way to the outermost layer, which logs it once with the request's id.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// A fault of ours.
    Error(String),
    /// Load or time: expected now and then.
    Warning(String),
}

impl Failure {
    pub(super) fn log(&self, request_id: &str, method: &Method, uri: &Uri) {
        match self {
            Self::Error(cause) => tracing::error!(request_id, %method, %uri, cause, "request failed"),
            Self::Warning(cause) => tracing::warn!(request_id, %method, %uri, cause, "request refused"),
        }
    }
}

/// A statement that failed is a fault of ours, but for a database that is busy or gone.
impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        const TOO_MANY_CONNECTIONS: &str = "53300";
        const QUERY_CANCELED: &str = "57014";
        match &error {
            _ if is_deadlock(&error) => Self::Overloaded("Postgres ended a transaction that met a deadlock"),
            sqlx::Error::PoolTimedOut => Self::Overloaded("no database connection came free in time"),
            sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error)
            }
            sqlx::Error::Database(fault) => match fault.code().as_deref() {
                Some(TOO_MANY_CONNECTIONS) => Self::Overloaded("Postgres has no connection left"),
                Some(QUERY_CANCELED) => Self::TimedOut,
                // Class 57: operator intervention, such as a shutdown.
                Some(code) if code.starts_with("57") => Self::Unavailable(error),
                _ => Self::internal(error),
            },
            _ => Self::internal(error),
        }
    }
}

/// A body that could not be read.
impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            _ => Self::parameter("body", "ended before it was whole"),
        }
    }
}

/// The body of an error, `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem<'a> {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A stable name for programs.
    code: &'static str,
    /// What to do about it, for people.
    detail: &'a str,
    /// The parameter at fault, where there is one.
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
            // RFC 9110 asks for it with every 401.
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

/// An error with all its causes on one line.
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
