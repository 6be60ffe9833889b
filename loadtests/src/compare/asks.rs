//! What one arm is asked: the same requests again and again, or each once.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::Mutex;

use super::supply::Supply;
use crate::load::Request;

/// What one arm is asked under a scenario. Clones share what is used up.
#[derive(Clone)]
pub enum Asks {
    /// These, again and again.
    Repeated(Arc<[Request]>),
    /// Each once. All who ask this arm take from one supply, so that nobody sends what another has sent.
    Once(Arc<Mutex<Supply>>),
}

impl Asks {
    /// Requests that are asked again and again.
    pub fn repeated(requests: Vec<Request>) -> Self {
        Self::Repeated(requests.into())
    }

    /// Nothing.
    pub fn nothing() -> Self {
        Self::repeated(Vec::new())
    }

    /// Requests for a slice in which at most so many are sent: all there are, where they may be repeated.
    pub async fn take(&self, most: usize) -> Result<Arc<[Request]>> {
        match self {
            Self::Repeated(requests) => Ok(Arc::clone(requests)),
            Self::Once(supply) => Ok(supply.lock().await.take(most).await?.into()),
        }
    }

    /// Whether each is sent once.
    pub fn are_used_up(&self) -> bool {
        matches!(self, Self::Once(_))
    }

    /// The first of those that may be repeated.
    pub fn first(&self) -> Option<&Request> {
        match self {
            Self::Repeated(requests) => requests.first(),
            Self::Once(_) => None,
        }
    }
}
