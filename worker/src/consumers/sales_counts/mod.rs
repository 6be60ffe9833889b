//! Counts sold units, which the catalogue ranks its best sellers by: the lesson `sales_counts`.
//!
//! The units of a paid order are added, those of a cancelled order are subtracted if it had been paid. The
//! result is the same in whichever order the two messages arrive. Both arms count a message once, however
//! often it is delivered, and both arrive at the same `products.sales_count`; they differ in latency and
//! cost. A message is counted by whichever arm is running, so a shop can switch arms at any time.

#[cfg(feature = "baselines")]
mod per_order;

mod batched;

use platform::postgres::InstrumentedPool;
use shop::messages::Consumer;
use techniques::SalesCounts as Arm;
use uuid::Uuid;

use self::batched::Batched;
use super::{HandlerError, HandlerOutcome};

/// A message with the order whose units are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct SalesMessage {
    pub(super) message_id: Uuid,
    pub(super) order_id: Uuid,
    pub(super) direction: Direction,
}

/// Whether units were sold or returned by a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Sold,
    Cancelled,
}

impl Direction {
    /// The consumer that the message is recorded for in `inbox`.
    const fn consumer(self) -> Consumer {
        match self {
            Direction::Sold => Consumer::Popularity,
            Direction::Cancelled => Consumer::CancelledSales,
        }
    }

    /// The change of the count per unit.
    const fn sign(self) -> i64 {
        match self {
            Direction::Sold => 1,
            Direction::Cancelled => -1,
        }
    }
}

/// The arm of `sales_counts` that this process was built with.
#[derive(Debug, Clone)]
pub enum SalesCounts {
    /// See [`per_order`].
    #[cfg(feature = "baselines")]
    PerOrder(InstrumentedPool),
    /// See [`batched`].
    Batched(Batched),
}

impl SalesCounts {
    /// Builds the arm. `batched` counts up to `max_batch` messages in one statement.
    pub fn new(arm: Arm, pool: &InstrumentedPool, max_batch: usize) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            Arm::PerOrder => Self::PerOrder(pool.clone()),
            Arm::Batched => Self::Batched(Batched::new(pool, max_batch)),
        }
    }

    /// Counts an order's units, once.
    pub(super) async fn count(&self, message: SalesMessage) -> Result<HandlerOutcome, HandlerError> {
        let is_first = match self {
            #[cfg(feature = "baselines")]
            Self::PerOrder(pool) => per_order::count(pool, message).await?,
            Self::Batched(batched) => batched.count(message).await?,
        };
        Ok(if is_first {
            HandlerOutcome::Done
        } else {
            HandlerOutcome::AlreadyDone
        })
    }
}
