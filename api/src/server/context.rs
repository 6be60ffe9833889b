//! The outermost layer. It gives each request an id, a clock and a deadline, turns a panic into a 500, adds
//! `x-request-id` and `server-timing` to the response, and records metrics, the trace and, on failure, a log line.
//! One layer instead of seven, because each layer costs every request.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::MatchedPath;
use axum::http::{HeaderName, HeaderValue, Request, Response};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use platform::telemetry::trace::{self, Kind};
use tower::{Layer, Service};
use uuid::Uuid;

use super::in_flight::InFlightGuard;
use crate::metrics::InFlightCount;
use crate::web::error::{ApiError, Failure};
use crate::web::request_class::RequestClass;
use crate::web::slow_body;
use crate::web::timings::{RequestTimings, Timings};
use crate::web::trace_context;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The longest request id that is accepted from a client, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// The layer, with the time limits that it enforces.
#[derive(Debug, Clone, Copy)]
pub struct ContextLayer {
    pub request_timeout: Duration,
    pub body_timeout: Duration,
}

impl<S> Layer<S> for ContextLayer {
    type Service = RequestContext<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestContext { inner, limits: *self }
    }
}

/// The service that [`ContextLayer`] wraps around all others.
#[derive(Debug, Clone)]
pub struct RequestContext<S> {
    inner: S,
    limits: ContextLayer,
}

impl<S, B> Service<Request<Body>> for RequestContext<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let id = request_id(&request);
        let timings = Arc::new(Timings::start(RequestClass::of_request(&request)));
        request.extensions_mut().insert(RequestTimings(timings.clone()));
        let trace = trace::begin(Kind::Server, || trace_context::of_client(request.headers()));
        let in_flight = InFlightGuard {
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            timings,
            trace: trace.clone(),
            _in_flight: InFlightCount::begin(),
            answered: None,
        };
        let request = slow_body::within(request, self.limits.body_timeout);
        // A panicking request leaves nothing half-changed behind: what it shares with others is changed atomically.
        let guarded = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let answering = tokio::time::timeout(self.limits.request_timeout, guarded);
        let work = async move {
            let mut response = match answering.await {
                Ok(Ok(answered)) => answered?.map(Body::new),
                Ok(Err(panic)) => panicked(&*panic).into_response(),
                Err(_) => ApiError::TimedOut.into_response(),
            };
            if let Some(failure) = response.extensions_mut().remove::<Failure>() {
                failure.log(id.to_str().unwrap_or_default(), &in_flight.method, &in_flight.uri);
            }
            let headers = response.headers_mut();
            headers.insert(REQUEST_ID.clone(), id);
            headers.insert(SERVER_TIMING.clone(), in_flight.timings.header());
            in_flight.end(response.status());
            Ok(response)
        };
        match trace {
            None => Box::pin(work),
            Some(trace) => Box::pin(trace::within(trace, work)),
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> ApiError {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::internal(message.unwrap_or("a panic without a message").to_owned())
}

/// The client's id if it is a plain token, so that a caller can follow its request; otherwise a new one.
fn request_id(request: &Request<Body>) -> HeaderValue {
    let usable = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    match request.headers().get(&REQUEST_ID).filter(usable) {
        Some(id) => id.clone(),
        None => {
            let mut buffer = Uuid::encode_buffer();
            HeaderValue::from_str(Uuid::now_v7().simple().encode_lower(&mut buffer))
                .expect("hexadecimal digits")
        }
    }
}
