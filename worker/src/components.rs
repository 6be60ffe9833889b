//! The components of the process: their health, their supervision, and the token that shuts them down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// A failed component is restarted with exponential backoff, from this pause up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Whether each component works, and otherwise why not.
#[derive(Debug, Clone, Default)]
pub struct HealthRegistry {
    faults: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

impl HealthRegistry {
    pub fn mark_healthy(&self, component: &'static str) {
        self.set(component, None);
    }

    pub fn mark_unhealthy(&self, component: &'static str, why: String) {
        self.set(component, Some(why));
    }

    fn set(&self, component: &'static str, fault: Option<String>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.insert(component, fault);
    }

    /// Each component, with the reason if it is unhealthy.
    pub fn all(&self) -> BTreeMap<&'static str, Option<String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Signals graceful shutdown to all components. It is triggered once.
#[derive(Debug, Clone)]
pub struct ShutdownToken(watch::Receiver<bool>);

impl ShutdownToken {
    /// Sending `true` requests the shutdown.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether shutdown was requested.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when shutdown is requested.
    pub async fn cancelled(&self) {
        // An error means that the sender was dropped, so `main` has ended.
        let _ = self.0.clone().wait_for(|is_cancelled| *is_cancelled).await;
    }

    /// Sleeps, at most until shutdown is requested.
    pub async fn sleep(&self, duration: Duration) {
        let _ = tokio::time::timeout(duration, self.cancelled()).await;
    }
}

/// Runs a component until shutdown, and restarts it with exponential backoff after a failure.
pub async fn supervise<E, F>(
    component: &'static str,
    health: &HealthRegistry,
    shutdown: &ShutdownToken,
    mut run: impl FnMut() -> F,
) where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut pause = FIRST_PAUSE;
    while !shutdown.is_cancelled() {
        let started = tokio::time::Instant::now();
        let Err(error) = run().await else {
            continue;
        };
        if shutdown.is_cancelled() {
            return;
        }
        tracing::warn!(component, %error, "component failed; restarting it");
        health.mark_unhealthy(component, error.to_string());
        if started.elapsed() > MAX_PAUSE {
            pause = FIRST_PAUSE;
        }
        shutdown.sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}
