//! One request outside any load: for health checks and for comparing answers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{HeaderMap, StatusCode};

use super::connection::connect;
use super::{Request, Target};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it came.
    pub body: Bytes,
}

/// Sends one request on a connection of its own and returns the answer, whatever its status.
pub async fn fetch(target: &Target, request: &Request) -> Result<Fetched> {
    let asked = async {
        let mut open = connect(target, &Arc::new(AtomicU64::new(0))).await?;
        let (head, body) = open
            .sender
            .send_request(target.message(request))
            .await?
            .into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, anyhow::Error>(Fetched {
            status: head.status,
            headers: head.headers,
            body,
        })
    };
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    let address = target.address;
    answered
        .with_context(|| format!("{address} does not answer {} {}", request.method, request.path))?
        .with_context(|| {
            format!(
                "cannot request {} {} from {address}",
                request.method, request.path
            )
        })
}
