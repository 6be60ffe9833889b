//! Opportunistic batching of statements: concurrently handled messages share one.
//!
//! Each message is a task of its own until it needs Postgres. All that arrive while one statement runs form
//! the next statement's batch. A batch never waits to fill up: a lone message is sent alone, and under load a
//! hundred or so share a round trip, a commit and a connection.
//!
//! In traces, a batch's statement belongs to the first of its messages.
//!
//! A data error or a timeout, unlike a connection error, may be caused by a single message. The batch is then
//! retried one message at a time, so that only that message fails.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use platform::postgres::is_unavailable;
use platform::telemetry::trace::{self, Trace};
use tokio::sync::{mpsc, oneshot};

/// After this many retryable failures in a row, mostly timeouts, the rest of a batch isn't tried: it would take minutes.
const MAX_RETRYABLE_IN_A_ROW: u32 = 3;

/// Why a statement failed. Each message of its batch gets a copy.
#[derive(Debug, Clone, thiserror::Error)]
#[error("Postgres: {why}")]
pub struct StatementError {
    /// As [`platform::postgres::is_unavailable`]: a retry of a single message would fail, too.
    pub is_unavailable: bool,
    /// A retry may help: Postgres is unavailable, or a statement or a lock took too long.
    pub is_retryable: bool,
    why: String,
}

impl From<sqlx::Error> for StatementError {
    fn from(error: sqlx::Error) -> Self {
        Self {
            is_unavailable: is_unavailable(&error),
            is_retryable: is_unavailable(&error) || is_transient_failure(&error),
            why: error.to_string(),
        }
    }
}

impl StatementError {
    fn panicked() -> Self {
        Self {
            is_unavailable: false,
            is_retryable: false,
            why: "the batch's statement panicked".to_owned(),
        }
    }
}

/// Whether the statement's own attempt failed, and not its content: a timeout, a deadlock or another rollback,
/// a lock that wasn't released in time, or a system error.
fn is_transient_failure(error: &sqlx::Error) -> bool {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html: transaction rollback, lock not
    // available, query canceled, system error.
    const PREFIXES: [&str; 4] = ["40", "55P03", "57014", "58"];
    let fault = error.as_database_error();
    let code = fault.and_then(|fault| fault.code());
    code.is_some_and(|code| PREFIXES.iter().any(|prefix| code.starts_with(prefix)))
}

struct Call<I, O> {
    item: I,
    response: oneshot::Sender<Result<O, StatementError>>,
    trace: Option<Arc<Trace>>,
}

/// Runs one statement for many items at once. Cheap to clone; its task ends with the last clone.
pub struct Batcher<I, O> {
    calls: mpsc::Sender<Call<I, O>>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self {
            calls: self.calls.clone(),
        }
    }
}

impl<I, O> fmt::Debug for Batcher<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

impl<I, O> Batcher<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
{
    /// `statement` takes up to `most` items and returns one result for each, in their order. One batch runs
    /// at a time.
    pub fn new<S, F>(most: usize, statement: S) -> Self
    where
        S: Fn(Arc<[I]>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Vec<O>, sqlx::Error>> + Send + 'static,
    {
        // The channel holds one batch. Further callers wait in `send`, so memory is bounded (backpressure).
        let (calls, arriving) = mpsc::channel(most);
        tokio::spawn(run(arriving, most, statement));
        Self { calls }
    }

    /// Runs the statement for this item, in a batch with others that are waiting.
    ///
    /// # Errors
    /// When the statement failed for this item.
    pub async fn call(&self, item: I) -> Result<O, StatementError> {
        let (response, received) = oneshot::channel();
        let trace = trace::current_trace();
        let call = Call {
            item,
            response,
            trace,
        };
        if self.calls.send(call).await.is_err() {
            return Err(StatementError::panicked());
        }
        received.await.unwrap_or_else(|_| Err(StatementError::panicked()))
    }
}

async fn run<I, O, S, F>(mut arriving: mpsc::Receiver<Call<I, O>>, most: usize, statement: S)
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
    S: Fn(Arc<[I]>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Vec<O>, sqlx::Error>> + Send,
{
    let mut calls = Vec::with_capacity(most);
    while arriving.recv_many(&mut calls, most).await > 0 {
        let traced = calls.iter_mut().find_map(|call| call.trace.take());
        let (items, responses): (Vec<I>, Vec<_>) =
            calls.drain(..).map(|call| (call.item, call.response)).unzip();
        // A panic fails this batch only, not the batches after it.
        let running = AssertUnwindSafe(results(&statement, items)).catch_unwind();
        let results = match traced {
            Some(first) => trace::within(first, running).await,
            None => running.await,
        };
        for (response, result) in responses.into_iter().zip(results.into_iter().flatten()) {
            // The caller may have been aborted at the drain timeout.
            let _ = response.send(result);
        }
    }
}

async fn results<I, O, S, F>(statement: &S, items: Vec<I>) -> Vec<Result<O, StatementError>>
where
    I: Clone,
    S: Fn(Arc<[I]>) -> F,
    F: Future<Output = Result<Vec<O>, sqlx::Error>>,
{
    let items: Arc<[I]> = items.into();
    match statement(items.clone()).await {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(error) => {
            let error = StatementError::from(error);
            if items.len() == 1 || error.is_unavailable {
                return items.iter().map(|_| Err(error.clone())).collect();
            }
            tracing::warn!(%error, messages = items.len(), "a batch failed; retrying its messages one by one");
            let mut results = Vec::with_capacity(items.len());
            let mut retryable_in_a_row = 0;
            for item in items.iter() {
                let result = match results.last() {
                    Some(Err(last)) if retryable_in_a_row == MAX_RETRYABLE_IN_A_ROW => {
                        Err(StatementError::clone(last))
                    }
                    _ => match statement([item.clone()].into()).await {
                        Ok(mut one) => one.pop().ok_or_else(StatementError::panicked),
                        Err(error) => Err(error.into()),
                    },
                };
                match &result {
                    // The rest would fail as well.
                    Err(error) if error.is_unavailable => retryable_in_a_row = MAX_RETRYABLE_IN_A_ROW,
                    Err(error) if error.is_retryable => {
                        retryable_in_a_row = MAX_RETRYABLE_IN_A_ROW.min(retryable_in_a_row + 1);
                    }
                    _ => retryable_in_a_row = 0,
                }
                results.push(result);
            }
            results
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Mutex;

    use sqlx::error::{DatabaseError, ErrorKind};
    use tokio::sync::Semaphore;

    use super::*;

    /// A statement that timed out.
    #[derive(Debug, thiserror::Error)]
    #[error("canceling statement due to statement timeout")]
    struct Canceled;

    impl DatabaseError for Canceled {
        fn message(&self) -> &str {
            "canceling statement due to statement timeout"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some("57014".into())
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    /// Records its batches and returns each item unchanged. Item 13 fails, item 504 alone times out, item 503 alone finds Postgres unavailable, item 666
    /// panics.
    fn recording(
        batches: &Arc<Mutex<Vec<Vec<u32>>>>,
        gate: &Arc<Semaphore>,
        most: usize,
    ) -> Batcher<u32, u32> {
        let (batches, gate) = (batches.clone(), gate.clone());
        Batcher::new(most, move |items: Arc<[u32]>| {
            let (batches, gate) = (batches.clone(), gate.clone());
            async move {
                batches.lock().unwrap().push(items.to_vec());
                gate.acquire().await.unwrap().forget();
                match items[..] {
                    [503] => return Err(sqlx::Error::PoolTimedOut),
                    [504] => return Err(sqlx::Error::Database(Box::new(Canceled))),
                    _ => {}
                }
                if items.contains(&13) {
                    return Err(sqlx::Error::RowNotFound);
                }
                assert!(!items.contains(&666), "the devil");
                Ok(items.to_vec())
            }
        })
    }

    async fn all(batcher: &Batcher<u32, u32>, items: &[u32]) -> Vec<Option<u32>> {
        let calls = items.iter().map(|item| async { batcher.call(*item).await.ok() });
        futures_util::future::join_all(calls).await
    }

    #[tokio::test]
    async fn a_lone_item_is_sent_alone_and_items_that_arrive_meanwhile_share_a_batch() {
        let (batches, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let batcher = recording(&batches, &gate, 4);
        let opening = async {
            while batches.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            gate.add_permits(10);
        };
        let first = batcher.call(1);
        let rest = async {
            while batches.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            all(&batcher, &[2, 3, 4, 5, 6, 7]).await
        };
        let (first, rest, ()) = tokio::join!(first, rest, opening);
        assert_eq!(first.unwrap(), 1);
        assert_eq!(rest, [2, 3, 4, 5, 6, 7].map(Some));
        let batches = batches.lock().unwrap();
        assert_eq!(batches[0], [1]);
        assert!(batches.iter().all(|batch| batch.len() <= 4), "{batches:?}");
        assert!(batches.len() <= 4, "{batches:?}");
    }

    #[tokio::test]
    async fn an_item_that_fails_does_not_fail_its_batch() {
        let (batches, gate) = (Arc::default(), Arc::new(Semaphore::new(100)));
        let batcher = recording(&batches, &gate, 8);
        let results = all(&batcher, &[1, 2, 13, 3]).await;
        assert_eq!(results, [Some(1), Some(2), None, Some(3)]);
    }

    #[tokio::test]
    async fn after_three_timeouts_the_rest_of_a_batch_is_not_tried() {
        let (batches, gate) = (Arc::default(), Arc::new(Semaphore::new(100)));
        let batcher = recording(&batches, &gate, 8);
        let results = all(&batcher, &[1, 13, 504, 504, 504, 504, 2]).await;
        assert_eq!(results, [Some(1), None, None, None, None, None, None]);
        // The batch, and five of its messages.
        assert_eq!(batches.lock().unwrap().len(), 6);
    }

    #[tokio::test]
    async fn when_postgres_becomes_unavailable_the_rest_of_a_batch_is_not_tried() {
        let (batches, gate) = (Arc::default(), Arc::new(Semaphore::new(100)));
        let batcher = recording(&batches, &gate, 8);
        let results = all(&batcher, &[1, 13, 503, 2]).await;
        assert_eq!(results, [Some(1), None, None, None]);
        assert_eq!(batches.lock().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_panic_fails_its_batch_and_no_other() {
        let (batches, gate) = (Arc::default(), Arc::new(Semaphore::new(100)));
        let batcher = recording(&batches, &gate, 8);
        assert_eq!(all(&batcher, &[666]).await, [None]);
        assert_eq!(all(&batcher, &[1]).await, [Some(1)]);
    }
}
