//! How a process waits at its start for a store that it can't do without: it tries again, with growing pauses, and says
//! for what it waits, in its log and to readiness probes. Processes and stores may so be started in any order.
//!
//! It waits for what may pass without anybody's doing: nobody listens yet, or a server says that it is starting. What will
//! be wrong until somebody changes it, a password or a schema, ends the process with a line that says what to do:
//! an exit is noticed sooner than a probe that stays red, and an orchestrator starts the process again anyway.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// The pause after the first attempt. Each is twice as long as the one before, up to the last one, and then longer by a
/// random share of itself, so that many processes don't come back together: five seconds at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_millis(2_500);

/// A store, and the setting that says where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// As readiness probes name it.
    pub name: &'static str,
    /// The variable.
    pub setting: &'static str,
}

/// Postgres.
pub const POSTGRES: Dependency = Dependency {
    name: "postgres",
    setting: "BACKSTOCK_DATABASE_URL",
};

/// RabbitMQ.
pub const RABBITMQ: Dependency = Dependency {
    name: "rabbitmq",
    setting: "BACKSTOCK_AMQP_URL",
};

/// How far the start of a process has come. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Start(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What is still waited for, and what came of the last attempt.
    missing: BTreeMap<Dependency, String>,
    is_over: bool,
}

impl Start {
    /// A start that needs all of these, none of which was asked yet.
    pub fn needs(dependencies: &[Dependency]) -> Self {
        let not_asked = |dependency: &Dependency| (*dependency, "it was not asked yet".to_owned());
        Self(Arc::new(Mutex::new(State {
            missing: dependencies.iter().map(not_asked).collect(),
            is_over: false,
        })))
    }

    /// What stands between the process and its work, and why: for readiness probes.
    pub fn obstacle(&self) -> Option<(&'static str, String)> {
        let state = self.lock();
        match state.missing.first_key_value() {
            Some((dependency, why)) => Some((dependency.name, why.clone())),
            None if state.is_over => None,
            None => Some(("start", "it is about to begin".to_owned())),
        }
    }

    /// The process works from now on.
    pub fn is_over(&self) {
        self.lock().is_over = true;
    }

    /// Tries until it succeeds, or fails in a way that doesn't pass by itself.
    ///
    /// # Errors
    /// Such a failure.
    pub async fn reach<T, E: Display>(
        &self,
        dependency: Dependency,
        may_pass: impl Fn(&E) -> bool,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut pauses = pauses();
        loop {
            let error = match attempt().await {
                Ok(reached) => {
                    self.lock().missing.remove(&dependency);
                    return Ok(reached);
                }
                Err(error) if !may_pass(&error) => return Err(error),
                Err(error) => error,
            };
            let pause = pauses.next().unwrap_or(LAST_PAUSE);
            let Dependency { name, setting } = dependency;
            tracing::warn!(waiting_for = name, setting, %error, again_after = ?pause, "can't start yet");
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
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LAST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_by_chance() {
        let drawn: Vec<_> = pauses().take(20).collect();
        // Floating point draws the shares.
        let within = |pause: Duration, least: Duration| {
            pause >= least && pause <= 2 * least + Duration::from_millis(1)
        };
        assert!(within(drawn[0], FIRST_PAUSE), "{drawn:?}");
        assert!(within(drawn[1], 2 * FIRST_PAUSE), "{drawn:?}");
        assert!(
            drawn[6..].iter().all(|pause| within(*pause, LAST_PAUSE)),
            "{drawn:?}"
        );
        assert!(drawn[6..].iter().any(|pause| *pause != drawn[6]), "{drawn:?}");
    }

    #[tokio::test]
    async fn it_tries_again_and_says_why_until_it_succeeds() {
        let start = Start::needs(&[POSTGRES, RABBITMQ]);
        let (mut attempts, mut said) = (0, Vec::new());
        let reached = start.reach(
            POSTGRES,
            |_| true,
            async || {
                attempts += 1;
                said.push(start.obstacle().unwrap());
                if attempts == 2 {
                    Ok("there")
                } else {
                    Err("nobody listens")
                }
            },
        );
        assert_eq!(reached.await, Ok("there"));
        let because = |why: &str| ("postgres", why.to_owned());
        assert_eq!(said, [because("it was not asked yet"), because("nobody listens")]);
        assert_eq!(start.obstacle().unwrap().0, "rabbitmq");

        let reached = start.reach(RABBITMQ, |_: &&str| true, async || Ok(()));
        reached.await.unwrap();
        assert_eq!(start.obstacle().unwrap().0, "start", "it does not work yet");
        start.is_over();
        assert_eq!(start.obstacle(), None);
    }

    #[tokio::test]
    async fn it_gives_up_at_once_what_does_not_pass() {
        let start = Start::needs(&[POSTGRES]);
        let mut attempts = 0;
        let refused = start.reach(
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
