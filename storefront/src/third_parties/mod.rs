//! The companies that the shop works with: one client file each, shared by the api and the worker. A fork that has
//! another gateway swaps one file and keeps what the others call.
//!
//! Each call has a deadline, and its outcome says what is known: a call without an answer has failed for nobody, it may
//! have happened. Read next: `payment.rs`.

pub mod payment;
mod smtp;

pub mod carrier;

pub mod mail;

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};

use crate::telemetry::ThirdParty;

/// How long a connection to a third party may take, within the deadline of the call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Idle connections that are kept to one third party. As many as one process has calls in flight on a busy day; more
/// are opened when needed and closed afterwards.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// The client that can't be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for third parties can't be built")]
pub struct ClientError(#[from] reqwest::Error);

/// An HTTP client for one third party. It follows no redirect: a payment goes where the settings say.
fn http_client() -> Result<reqwest::Client, ClientError> {
    Ok(reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("backstock")
        .build()?)
}

/// The request with the trace that it belongs to, where there is one.
fn in_its_trace(request: RequestBuilder, call: &ThirdParty) -> RequestBuilder {
    match call.traceparent() {
        Some(traceparent) => request.header("traceparent", traceparent),
        None => request,
    }
}

/// How metrics call what a third party said.
fn outcome_of(status: Option<StatusCode>) -> &'static str {
    match status {
        Some(status) if status.is_success() => "ok",
        Some(status) if status.is_client_error() => "refused",
        _ => "unknown",
    }
}

/// A base URL as it was given, without the slash at its end.
fn base_url(url: &reqwest::Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
