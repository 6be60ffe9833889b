//! A round over orders that need the gateway, with exponential backoff per order.
//!
//! An order whose attempt fails is counted and postponed, and the round continues with the others. After
//! several unanswered calls in a row, a circuit breaker opens and ends the round, because each further call
//! would cost the gateway's whole timeout. The orders that opened it are postponed like all failed ones, so
//! the next round starts with other orders.

use std::time::Duration;

use platform::postgres::is_unavailable;
use uuid::Uuid;

use super::{BATCH, BackgroundTasks, Round, count};
use crate::components::ShutdownToken;

/// Unanswered calls in a row that open the circuit breaker.
const FAILURE_THRESHOLD: u32 = 3;

/// The longest time that an order is postponed. A void also waits until its order is `settle_again` old. So all
/// orders are retried within the sum of both after an outage of the gateway or a correction by an operator.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The order is settled, or its next attempt is scheduled.
    Done,
    /// The gateway's response doesn't settle the order.
    Unclear,
    /// The gateway didn't respond.
    Unanswered,
}

/// An order claimed by this worker.
pub(super) trait ClaimedOrder: Sync {
    /// The label of `upkeep_rows_total` that counts postponed orders.
    const POSTPONED: &'static str;

    fn id(&self) -> Uuid;

    fn attempt(&self, tasks: &BackgroundTasks) -> impl Future<Output = Result<Attempt, sqlx::Error>> + Send;

    /// Moves the time at which the order is due again, by [`BackgroundTasks::backoff`].
    fn postpone(&self, tasks: &BackgroundTasks) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// The pauses of an order in seconds. Each is twice as long as the one before, up to the longest; the first is twice
/// `first_s`.
pub(super) struct Backoff {
    pub(super) first_s: f64,
    pub(super) longest_s: f64,
}

impl BackgroundTasks {
    /// Attempts each order. A statement timeout counts as the order's own error, because its rows may be
    /// locked for long while those of other orders aren't.
    ///
    /// # Errors
    /// When Postgres is unavailable, which affects all orders.
    pub(super) async fn attempt_each<O: ClaimedOrder>(
        &self,
        orders: Vec<O>,
        shutdown: &ShutdownToken,
    ) -> Result<Round, sqlx::Error> {
        let is_full = orders.len() as i64 == BATCH;
        let mut unanswered = 0;
        for order in orders {
            if shutdown.is_cancelled() {
                return Ok(Round::Idle);
            }
            let order_id = order.id();
            match order.attempt(self).await {
                Ok(Attempt::Done) => {
                    unanswered = 0;
                    continue;
                }
                Ok(Attempt::Unclear) => {
                    unanswered = 0;
                    tracing::error!(order = %order_id, "the gateway's response doesn't settle the order; postponing it");
                }
                Ok(Attempt::Unanswered) => {
                    unanswered += 1;
                    tracing::warn!(order = %order_id, "the gateway didn't respond; postponing the order");
                }
                Err(error) if is_unavailable(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(order = %order_id, %error, "a statement failed; postponing the order");
                }
            }
            match order.postpone(self).await {
                Ok(()) => count(O::POSTPONED, 1),
                Err(error) if is_unavailable(&error) => return Err(error),
                // The order's lease also keeps it out of the next rounds, until it expires.
                Err(error) => tracing::error!(order = %order_id, %error, "an order couldn't be postponed"),
            }
            if unanswered == FAILURE_THRESHOLD {
                tracing::warn!("the gateway doesn't respond; ending the round");
                return Ok(Round::Idle);
            }
        }
        Ok(if is_full { Round::More } else { Round::Idle })
    }

    pub(super) fn backoff(&self) -> Backoff {
        let first = self.settings.settle_again;
        Backoff {
            first_s: first.as_secs_f64(),
            longest_s: first.max(MAX_PAUSE).as_secs_f64(),
        }
    }
}
