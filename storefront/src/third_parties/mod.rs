//! The companies that the shop works with: one client file each, shared by the api and the worker. A fork that has
//! another gateway swaps one file and keeps what the others call.
//!
//! Each call has a deadline, and its outcome says what is known: a call without an answer has failed for nobody, it may
//! have happened. Read next: `payment.rs`.

pub mod payment;

pub mod carrier;

pub mod mail;

use std::time::Duration;

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

/// A base URL as it was given, without the slash at its end.
fn base_url(url: &reqwest::Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
