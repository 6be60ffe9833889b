//! The trace that a request belongs to, for the events it causes (W3C Trace Context, version 00).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use platform::telemetry::trace::{self, Parent};

/// The `traceparent` for events: the request's own span, or the client's if tracing is off.
#[derive(Debug, Clone, Default)]
pub struct TraceContext(pub Option<String>);

/// The client's `traceparent`, if it is valid.
pub fn of_client(headers: &HeaderMap) -> Option<Parent> {
    headers.get("traceparent")?.to_str().ok()?.parse().ok()
}

impl<S: Send + Sync> FromRequestParts<S> for TraceContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let parent = trace::current().or_else(|| of_client(&parts.headers));
        Ok(Self(parent.map(|parent| parent.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_trace_context_is_taken_only_whole() {
        let of = async |text: &str| {
            let request = axum::http::Request::builder().header("traceparent", text);
            let (mut parts, ()) = request.body(()).expect("a plain header").into_parts();
            let Ok(TraceContext(taken)) = TraceContext::from_request_parts(&mut parts, &()).await;
            taken
        };
        let whole = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of(whole).await.as_deref(), Some(whole));
        assert_eq!(of("00-4bf9").await, None);
        assert_eq!(of(&whole.replace('4', "x")).await, None);
    }
}
