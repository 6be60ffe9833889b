//! A round of orders that need the gateway, of which each may fail for itself.
//!
//! An order whose attempt fails is counted, and put back with exponential backoff. The round goes on with the others,
//! unless the gateway has answered nothing several times in a row: then a circuit breaker opens and the round ends, because
//! each further question would cost the gateway's whole timeout. The orders that opened it are put back like all that
//! failed, so the next round begins with others.

use std::time::Duration;

use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use super::{BATCH, Round, Upkeep, count};
use crate::parts::Stop;

/// Unanswered questions in a row that open the circuit breaker.
const OPENS_AFTER: u32 = 3;

/// The longest that an order is put back for. After an outage of the gateway, or a correction by an operator, the last
/// order is settled no later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The order is settled, or will be looked at again at its time.
    Done,
    /// The gateway answered something that leads nowhere.
    Unclear,
    /// The gateway gave no answer.
    Unanswered,
}

/// An order that was claimed.
pub(super) trait ClaimedOrder: Sync {
    /// The counter of those that were put back.
    const PUT_BACK: &'static str;

    fn id(&self) -> Uuid;

    fn attempt(&self, upkeep: &Upkeep) -> impl Future<Output = Result<Attempt, sqlx::Error>> + Send;

    /// Moves the time by which it is found again, by [`Upkeep::backoff`].
    fn put_back(&self, upkeep: &Upkeep) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// The first pause and the longest, in seconds.
pub(super) struct Backoff {
    pub(super) first_s: f64,
    pub(super) longest_s: f64,
}

impl Upkeep {
    /// Attempts each. An error concerns all of them: the database is away.
    pub(super) async fn attempt_each<O: ClaimedOrder>(
        &self,
        orders: Vec<O>,
        stop: &Stop,
    ) -> Result<Round, sqlx::Error> {
        let is_full = orders.len() as i64 == BATCH;
        let mut unanswered = 0;
        for order in orders {
            if stop.is_given() {
                return Ok(Round::Rest);
            }
            let order_id = order.id();
            match order.attempt(self).await {
                Ok(Attempt::Done) => {
                    unanswered = 0;
                    continue;
                }
                Ok(Attempt::Unclear) => {
                    unanswered = 0;
                    tracing::error!(order = %order_id, "the gateway's answer leads nowhere; the order is put back");
                }
                Ok(Attempt::Unanswered) => {
                    unanswered += 1;
                    tracing::warn!(order = %order_id, "the gateway can't be asked; the order is put back");
                }
                Err(error) if concerns_all(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(order = %order_id, %error, "a statement failed; the order is put back");
                }
            }
            match order.put_back(self).await {
                Ok(()) => count(O::PUT_BACK, 1),
                Err(error) if concerns_all(&error) => return Err(error),
                // Its claim keeps it away from the next rounds, too, and ends by itself.
                Err(error) => tracing::error!(order = %order_id, %error, "an order couldn't be put back"),
            }
            if unanswered == OPENS_AFTER {
                tracing::warn!("the gateway answers nothing; the round ends");
                return Ok(Round::Rest);
            }
        }
        Ok(if is_full { Round::More } else { Round::Rest })
    }

    pub(super) fn backoff(&self) -> Backoff {
        let first = self.settings.settle_again;
        Backoff {
            first_s: first.as_secs_f64(),
            longest_s: first.max(LONGEST_PAUSE).as_secs_f64(),
        }
    }
}

/// Whether the database is away, rather than one order at fault. A statement's timeout is the order's: its rows may be
/// locked for long, and others' are not.
fn concerns_all(error: &sqlx::Error) -> bool {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html: connections, resources, a server that stops.
    const CLASSES: [&str; 3] = ["08", "53", "57P"];
    match error {
        sqlx::Error::Database(fault) => {
            let fault = fault.try_downcast_ref::<PgDatabaseError>();
            fault.is_some_and(|fault| CLASSES.iter().any(|class| fault.code().starts_with(class)))
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound => false,
        _ => true,
    }
}
