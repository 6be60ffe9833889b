//! **Technique**: the hash is computed on a thread for blocking work, at most so many at a time as a setting says; who
//! comes then waits for a turn, for a bounded time.
//! **Cost**: handing the work over and back. Other requests share the cores with the hashes, but not their threads.
//! **Fails when**: more sign in than the cores can hash: they queue, and after the bound get a 503 with `retry-after`.
//! **Source**: <https://docs.rs/tokio/latest/tokio/task/fn.spawn_blocking.html>, which asks for a semaphore.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::http::error::ApiError;
use crate::settings::PasswordSettings;

/// How many threads hash at a time.
pub fn hashes_at_once(settings: PasswordSettings) -> usize {
    match usize::from(settings.password_hashes_at_once) {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        at_once => at_once,
    }
}

/// The arm `password_hashing=pool`.
pub struct Pool {
    turns: Arc<Semaphore>,
    patience: Duration,
}

impl Pool {
    pub(super) fn new(settings: PasswordSettings) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(hashes_at_once(settings))),
            patience: settings.password_wait_timeout,
        }
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = tokio::time::timeout(self.patience, self.turns.clone().acquire_owned()).await;
        let turn = turn
            .map_err(|_| ApiError::Overloaded("no turn to hash a password came in time"))?
            .expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Given back by the thread, not by the request: one that was given up leaves its work running.
            drop(turn);
            done
        });
        done.await.map_err(ApiError::internal)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    fn pool(patience_ms: u64) -> Pool {
        Pool::new(PasswordSettings {
            password_hashes_at_once: 1,
            password_wait_timeout: Duration::from_millis(patience_ms),
        })
    }

    #[tokio::test]
    async fn who_waits_too_long_for_a_turn_is_refused_and_nothing_is_computed() {
        let pool = pool(1);
        let turn = pool.turns.clone().acquire_owned().await.unwrap();
        let refused = pool.run(|| panic!("it must not run")).await;
        assert!(matches!(refused, Err::<(), _>(ApiError::Overloaded(_))));
        drop(turn);
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_keeps_its_turn_until_its_work_is_done() {
        let pool = pool(1);
        let (finish, finished) = mpsc::channel::<()>();
        // One look starts it; then its request is gone.
        assert!(pool.run(move || finished.recv()).now_or_never().is_none());
        assert!(pool.run(|| ()).await.is_err());
        finish.send(()).unwrap();
        let free = pool.turns.acquire().await;
        assert!(free.is_ok());
    }
}
