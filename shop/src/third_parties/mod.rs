//! The shop's third parties: one client file each, shared by api and worker. A fork with another gateway
//! replaces one file.
//!
//! Each call has a timeout. Its outcome may be unknown, because a call without a response may have taken
//! effect. Read next: `payment.rs`.

pub mod payment;
mod smtp;

pub mod carrier;

pub mod mail;

use std::time::Duration;

use platform::telemetry::ThirdPartyCall;
use reqwest::{RequestBuilder, StatusCode};

/// Connecting to a third party may take this much of the call's timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Idle connections kept open per third party: the number of calls that one process has in flight on a busy
/// day. More are opened when needed and closed afterwards.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// The HTTP client can't be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for third parties can't be built")]
pub struct ClientError(#[from] reqwest::Error);

/// An HTTP client for one third party. It follows no redirects: a payment goes where the settings say.
fn http_client() -> Result<reqwest::Client, ClientError> {
    Ok(reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("backstock")
        .build()?)
}

/// Adds the trace context to a request, if there is one.
fn with_traceparent(request: RequestBuilder, call: &ThirdPartyCall) -> RequestBuilder {
    match call.traceparent() {
        Some(traceparent) => request.header("traceparent", traceparent),
        None => request,
    }
}

/// The outcome label in metrics.
fn outcome_label(status: Option<StatusCode>) -> &'static str {
    match status {
        Some(status) if status.is_success() => "ok",
        Some(status) if status.is_client_error() => "refused",
        _ => "unknown",
    }
}

/// A base URL without trailing slashes.
fn base_url(url: &reqwest::Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
