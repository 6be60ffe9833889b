//! Connections that stay open and do nothing: what a service pays for clients that only might come back.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result};
use http_body_util::BodyExt;

use super::connection::{Open, connect};
use super::{Request, Target};

/// Open connections, each of which has been served once. They close when this is dropped.
pub struct HeldConnections {
    open: Vec<Open>,
}

impl HeldConnections {
    /// How many are still open.
    pub fn count(&self) -> usize {
        self.open.iter().filter(|open| !open.sender.is_closed()).count()
    }
}

impl std::fmt::Debug for HeldConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldConnections")
            .field("count", &self.count())
            .finish()
    }
}

/// Opens so many connections, requests something on each, and keeps them.
pub async fn hold_open(target: &Target, request: &Request, count: usize) -> Result<HeldConnections> {
    let nobody_asks = Arc::new(AtomicU64::new(0));
    let mut open = Vec::with_capacity(count);
    for number in 0..count {
        let failed = || format!("connection {} of {count} failed", number + 1);
        let mut connection = connect(target, &nobody_asks).await.with_context(failed)?;
        let answer = connection
            .sender
            .send_request(target.message(request))
            .await
            .with_context(failed)?;
        answer.into_body().collect().await.with_context(failed)?;
        open.push(connection);
    }
    Ok(HeldConnections { open })
}
