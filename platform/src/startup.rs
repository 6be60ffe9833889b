//! Waiting for stores at startup, with exponential backoff. The log and readiness probes name the store that
//! a process waits for, so processes and stores can be started in any order.
//!
//! Only transient failures are retried: the port is closed, or a server says that it is starting. A permanent
//! one, such as a wrong password or schema, ends the process with a line that says what to do: an exit is
//! noticed sooner than a failing probe, and an orchestrator restarts the process anyway.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Exponential backoff with jitter: each pause is twice as long as the one before, up to the maximum, plus a
/// random share of itself, so that many processes don't retry in step. Five seconds at most.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_millis(2_500);

/// A store, and the setting with its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The name in readiness probes.
    pub name: &'static str,
    pub setting: &'static str,
}

pub const POSTGRES: Dependency = Dependency {
    name: "postgres",
    setting: "BACKSTOCK_DATABASE_URL",
};

pub const RABBITMQ: Dependency = Dependency {
    name: "rabbitmq",
    setting: "BACKSTOCK_AMQP_URL",
};

/// The progress of a process's startup. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Startup(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Stores that are still waited for, with the last error.
    missing: BTreeMap<Dependency, String>,
    is_ready: bool,
}

impl Startup {
    /// A startup that waits for all of these.
    pub fn waiting_for(dependencies: &[Dependency]) -> Self {
        let not_attempted = |dependency: &Dependency| (*dependency, "not attempted yet".to_owned());
        Self(Arc::new(Mutex::new(State {
            missing: dependencies.iter().map(not_attempted).collect(),
            is_ready: false,
        })))
    }

    /// The store that blocks the startup, and why: for readiness probes.
    pub fn blocking_dependency(&self) -> Option<(&'static str, String)> {
        let state = self.lock();
        match state.missing.first_key_value() {
            Some((dependency, why)) => Some((dependency.name, why.clone())),
            None if state.is_ready => None,
            None => Some(("start", "still starting".to_owned())),
        }
    }

    /// The process serves from now on. Until then, readiness probes fail even if no dependency is missing.
    pub fn mark_ready(&self) {
        self.lock().is_ready = true;
    }

    /// Retries until it succeeds, or fails permanently.
    ///
    /// # Errors
    /// The permanent failure.
    pub async fn wait_for<T, E: Display>(
        &self,
        dependency: Dependency,
        is_transient: impl Fn(&E) -> bool,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut pauses = pauses();
        loop {
            let error = match attempt().await {
                Ok(reached) => {
                    self.lock().missing.remove(&dependency);
                    return Ok(reached);
                }
                Err(error) if !is_transient(&error) => return Err(error),
                Err(error) => error,
            };
            let pause = pauses.next().unwrap_or(MAX_PAUSE);
            let Dependency { name, setting } = dependency;
            tracing::warn!(waiting_for = name, setting, %error, retry_after = ?pause, "waiting to start");
            self.lock().missing.insert(dependency, error.to_string());
            tokio::time::sleep(pause).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(MIN_PAUSE)
        .with_max_delay(MAX_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_have_jitter() {
        let drawn: Vec<_> = pauses().take(20).collect();
        // The jitter is drawn in floating point.
        let within = |pause: Duration, least: Duration| {
            pause >= least && pause <= 2 * least + Duration::from_millis(1)
        };
        assert!(within(drawn[0], MIN_PAUSE), "{drawn:?}");
        assert!(within(drawn[1], 2 * MIN_PAUSE), "{drawn:?}");
        assert!(
            drawn[6..].iter().all(|pause| within(*pause, MAX_PAUSE)),
            "{drawn:?}"
        );
        assert!(drawn[6..].iter().any(|pause| *pause != drawn[6]), "{drawn:?}");
    }

    #[tokio::test]
    async fn it_retries_and_reports_why_until_it_succeeds() {
        let startup = Startup::waiting_for(&[POSTGRES, RABBITMQ]);
        let (mut attempts, mut reported) = (0, Vec::new());
        let reached = startup.wait_for(
            POSTGRES,
            |_| true,
            async || {
                attempts += 1;
                reported.push(startup.blocking_dependency().unwrap());
                if attempts == 2 {
                    Ok("connected")
                } else {
                    Err("connection refused")
                }
            },
        );
        assert_eq!(reached.await, Ok("connected"));
        let because = |why: &str| ("postgres", why.to_owned());
        assert_eq!(
            reported,
            [because("not attempted yet"), because("connection refused")]
        );
        assert_eq!(startup.blocking_dependency().unwrap().0, "rabbitmq");

        let reached = startup.wait_for(RABBITMQ, |_: &&str| true, async || Ok(()));
        reached.await.unwrap();
        assert_eq!(
            startup.blocking_dependency().unwrap().0,
            "start",
            "it is not ready yet"
        );
        startup.mark_ready();
        assert_eq!(startup.blocking_dependency(), None);
    }

    #[tokio::test]
    async fn a_permanent_failure_is_not_retried() {
        let startup = Startup::waiting_for(&[POSTGRES]);
        let mut attempts = 0;
        let refused = startup.wait_for(
            POSTGRES,
            |error| *error != "wrong password",
            async || {
                attempts += 1;
                Err::<(), _>(if attempts == 1 {
                    "starting"
                } else {
                    "wrong password"
                })
            },
        );
        assert_eq!(refused.await, Err("wrong password"));
        assert_eq!(attempts, 2);
    }
}
