//! Statements for many messages at once.
//!
//! Messages are worked on each by itself, and meet here when they need Postgres: what has arrived while one statement ran
//! is the next statement's batch. So a batch never waits to be filled: a message that comes alone goes alone, and under
//! load some hundred share a round trip, a commit and a connection.
//!
//! In traces, a batch's statement belongs to the first of its messages.
//!
//! A fault of the data (not of the way to Postgres) may be one message's alone. Then each of the batch goes by itself, and
//! only that one fails.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use storefront::telemetry::trace::{self, Trace};
use tokio::sync::{mpsc, oneshot};

/// Why a statement failed, for each message of its batch.
#[derive(Debug, Clone, thiserror::Error)]
#[error("Postgres: {why}")]
pub struct StatementError {
    /// The way to Postgres failed, or Postgres starts, ends or is full. It passes.
    pub is_away: bool,
    /// Trying again may help: Postgres is away, or another holds a lock for long.
    pub may_pass: bool,
    why: String,
}

impl From<sqlx::Error> for StatementError {
    fn from(error: sqlx::Error) -> Self {
        Self {
            is_away: is_away(&error),
            may_pass: is_away(&error) || is_locked(&error),
            why: error.to_string(),
        }
    }
}

impl StatementError {
    fn panicked() -> Self {
        Self {
            is_away: false,
            may_pass: false,
            why: "the work on a batch panicked".to_owned(),
        }
    }
}

/// Whether another held a lock for longer than `lock_timeout`.
fn is_locked(error: &sqlx::Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let fault = error.as_database_error();
    fault.is_some_and(|fault| fault.code().as_deref() == Some(LOCK_NOT_AVAILABLE))
}

/// Whether the fault is of the way to Postgres, or of one that starts, ends or is full, and passes.
fn is_away(error: &sqlx::Error) -> bool {
    match error.as_database_error() {
        // Classes of https://www.postgresql.org/docs/current/errcodes-appendix.html: connection, rollback, resources,
        // operator intervention, system.
        Some(fault) => fault.code().is_some_and(|code| {
            ["08", "40", "53", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        None => !matches!(
            error,
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound
        ),
    }
}

struct Call<I, O> {
    item: I,
    answer: oneshot::Sender<Result<O, StatementError>>,
    trace: Option<Arc<Trace>>,
}

/// A statement that is run for many items at once. Cheap to clone; it ends with its last clone.
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
    /// `statement` gets up to `most` items, and gives as many results, in their order. One batch runs at a time.
    pub fn new<S, F>(most: usize, statement: S) -> Self
    where
        S: Fn(Arc<[I]>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Vec<O>, sqlx::Error>> + Send + 'static,
    {
        // As many wait here as the next batch holds; the others wait to get in, and nothing grows.
        let (calls, arriving) = mpsc::channel(most);
        tokio::spawn(run(arriving, most, statement));
        Self { calls }
    }

    /// Runs the statement for this item and whatever comes with it.
    ///
    /// # Errors
    /// When it failed for this item.
    pub async fn call(&self, item: I) -> Result<O, StatementError> {
        let (answer, answered) = oneshot::channel();
        let trace = trace::current_trace();
        let call = Call { item, answer, trace };
        if self.calls.send(call).await.is_err() {
            return Err(StatementError::panicked());
        }
        answered.await.unwrap_or_else(|_| Err(StatementError::panicked()))
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
        let (items, answers): (Vec<I>, Vec<_>) = calls.drain(..).map(|call| (call.item, call.answer)).unzip();
        // A panic is the batch's, not that of all that follow.
        let running = AssertUnwindSafe(results(&statement, items)).catch_unwind();
        let results = match traced {
            Some(first) => trace::within(first, running).await,
            None => running.await,
        };
        for (answer, result) in answers.into_iter().zip(results.into_iter().flatten()) {
            // The caller may be gone: cut off at the drain timeout.
            let _ = answer.send(result);
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
            if items.len() == 1 || error.is_away {
                return items.iter().map(|_| Err(error.clone())).collect();
            }
            tracing::warn!(%error, messages = items.len(), "a batch failed; each of its messages goes by itself");
            let mut results = Vec::with_capacity(items.len());
            for item in items.iter() {
                let one = statement([item.clone()].into()).await;
                results.push(match one {
                    Ok(mut one) => one.pop().ok_or_else(StatementError::panicked),
                    Err(error) => Err(error.into()),
                });
            }
            results
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;

    /// Notes the batches, and answers each item with itself; 13 is refused.
    fn noting(batches: &Arc<Mutex<Vec<Vec<u32>>>>, gate: &Arc<Semaphore>, most: usize) -> Batcher<u32, u32> {
        let (batches, gate) = (batches.clone(), gate.clone());
        Batcher::new(most, move |items: Arc<[u32]>| {
            let (batches, gate) = (batches.clone(), gate.clone());
            async move {
                batches.lock().unwrap().push(items.to_vec());
                gate.acquire().await.unwrap().forget();
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
    async fn what_comes_alone_goes_alone_and_what_comes_meanwhile_goes_together() {
        let (batches, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let batcher = noting(&batches, &gate, 4);
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
    async fn one_that_fails_fails_alone() {
        let (batches, gate) = (Arc::default(), Arc::new(Semaphore::new(100)));
        let batcher = noting(&batches, &gate, 8);
        let results = all(&batcher, &[1, 2, 13, 3]).await;
        assert_eq!(results, [Some(1), Some(2), None, Some(3)]);
    }

    #[tokio::test]
    async fn a_panic_ends_its_batch_and_no_other() {
        let (batches, gate) = (Arc::default(), Arc::new(Semaphore::new(100)));
        let batcher = noting(&batches, &gate, 8);
        assert_eq!(all(&batcher, &[666]).await, [None]);
        assert_eq!(all(&batcher, &[1]).await, [Some(1)]);
    }
}
