//! The trace that a request belongs to, for the events that come of it (W3C Trace Context, version 00).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// `traceparent`, where it is one.
#[derive(Debug, Clone, Default)]
pub struct TraceContext(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for TraceContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let text = parts
            .headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        let is_one = |text: &&str| {
            text.len() == 55 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        };
        Ok(Self(text.filter(is_one).map(str::to_owned)))
    }
}
