//! Requests outside any load: for health checks, for comparing answers, and for those who go about a shop.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{HeaderMap, StatusCode};

use super::connection::{Open, connect};
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
    Visitor::to(target).fetch(request).await
}

/// Asks one request after the other over a connection that is kept as long as the server keeps it, as browsers do.
pub struct Visitor {
    target: Target,
    open: Option<Open>,
}

impl Visitor {
    /// Connects to nothing yet.
    pub fn to(target: &Target) -> Visitor {
        Visitor {
            target: target.clone(),
            open: None,
        }
    }

    /// Sends a request and returns the answer, whatever its status. Nothing is asked twice: a connection that breaks
    /// under a request is an error.
    pub async fn fetch(&mut self, request: &Request) -> Result<Fetched> {
        let address = self.target.address;
        let answered = tokio::time::timeout(PATIENCE, self.fetch_patiently(request)).await;
        answered
            .with_context(|| format!("{address} does not answer {} {}", request.method, request.path))?
            .with_context(|| {
                format!(
                    "cannot request {} {} from {address}",
                    request.method, request.path
                )
            })
    }

    async fn fetch_patiently(&mut self, request: &Request) -> Result<Fetched> {
        let mut open = match self.kept().await {
            Some(open) => open,
            None => connect(&self.target, &Arc::new(AtomicU64::new(0))).await?,
        };
        let (head, body) = open
            .sender
            .send_request(self.target.message(request))
            .await?
            .into_parts();
        let body = body.collect().await?.to_bytes();
        self.open = Some(open);
        Ok(Fetched {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// The connection of the last request, unless the server has closed it since.
    async fn kept(&mut self) -> Option<Open> {
        let mut open = self.open.take()?;
        open.sender.ready().await.ok()?;
        Some(open)
    }
}
