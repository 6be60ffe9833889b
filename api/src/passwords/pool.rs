//! **Technique**: hash on a thread for blocking work, bounded by a semaphore; further requests queue, with a timeout.
//! **Cost**: moving the work to the thread and its result back. Other requests share the cores with the hashes, but
//! not their threads.
//! **Fails when**: sign-ins arrive faster than the cores can hash: they queue, and after the timeout get a 503 with
//! `retry-after`.
//! **Source**: <https://docs.rs/tokio/latest/tokio/task/fn.spawn_blocking.html>, which recommends a semaphore.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::settings::PasswordSettings;
use crate::web::error::ApiError;

/// Passwords to hash concurrently: the setting, or half of the cores, rounded up, if it is 0.
pub fn hashes_at_once(settings: PasswordSettings) -> usize {
    match usize::from(settings.password_hashes_at_once) {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        at_once => at_once,
    }
}

/// The arm `password_hashing=pool`.
pub struct Pool {
    slots: Arc<Semaphore>,
    wait_timeout: Duration,
}

impl Pool {
    pub(super) fn new(settings: PasswordSettings) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(hashes_at_once(settings))),
            wait_timeout: settings.password_wait_timeout,
        }
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let slot = tokio::time::timeout(self.wait_timeout, self.slots.clone().acquire_owned()).await;
        let slot = slot
            .map_err(|_| ApiError::Overloaded("no slot to hash a password came free in time"))?
            .expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Released by the thread and not by the request: an aborted request leaves its hash running.
            drop(slot);
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

    fn pool(wait_timeout_ms: u64) -> Pool {
        Pool::new(PasswordSettings {
            password_hashes_at_once: 1,
            password_wait_timeout: Duration::from_millis(wait_timeout_ms),
        })
    }

    #[tokio::test]
    async fn a_request_that_times_out_in_the_queue_is_refused_and_computes_nothing() {
        let pool = pool(1);
        let slot = pool.slots.clone().acquire_owned().await.unwrap();
        let refused = pool.run(|| panic!("it must not run")).await;
        assert!(matches!(refused, Err::<(), _>(ApiError::Overloaded(_))));
        drop(slot);
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn an_aborted_request_keeps_its_slot_until_its_hash_is_done() {
        let pool = pool(1);
        let (finish, finished) = mpsc::channel::<()>();
        // One poll starts it; then the request is dropped.
        assert!(pool.run(move || finished.recv()).now_or_never().is_none());
        assert!(pool.run(|| ()).await.is_err());
        finish.send(()).unwrap();
        let free = pool.slots.acquire().await;
        assert!(free.is_ok());
    }
}
