//! The parts of the process and how they are, for health; and the signal that ends them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// A part that fails at once is begun again after this, then twice as late, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How each part is: working, or why not.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    faults: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

impl Parts {
    /// It works.
    pub fn works(&self, part: &'static str) {
        self.set(part, None);
    }

    /// It doesn't, for this reason.
    pub fn fails(&self, part: &'static str, why: String) {
        self.set(part, Some(why));
    }

    fn set(&self, part: &'static str, fault: Option<String>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.insert(part, fault);
    }

    /// Each part, and why it doesn't work.
    pub fn all(&self) -> BTreeMap<&'static str, Option<String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Comes true once: the process stops.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The signal, and who gives it.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is given.
    pub async fn given(&self) {
        // An error says that the sender is gone, and with it the process's main function.
        let _ = self.0.clone().wait_for(|given| *given).await;
    }

    /// Waits, but not beyond the signal.
    pub async fn pause(&self, duration: Duration) {
        let _ = tokio::time::timeout(duration, self.given()).await;
    }
}

/// Runs a part until the signal comes. What ends with a fault is begun again, after a pause that grows while it keeps
/// failing.
pub async fn keep_alive<E, F>(part: &'static str, parts: &Parts, stop: &Stop, mut session: impl FnMut() -> F)
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut pause = FIRST_PAUSE;
    while !stop.is_given() {
        let begun = tokio::time::Instant::now();
        let Err(error) = session().await else {
            continue;
        };
        if stop.is_given() {
            return;
        }
        tracing::warn!(part, %error, "interrupted; it begins again");
        parts.fails(part, error.to_string());
        if begun.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        stop.pause(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
