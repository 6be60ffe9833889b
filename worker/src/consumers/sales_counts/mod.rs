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
use uuid::Uuid;

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

techniques::component! {
    /// Counts sold units.
    #[derive(Debug, Clone)]
    pub SalesCounts: techniques::SalesCounts {
        baseline PerOrder = per_order::PerOrder,
        optimized Batched = batched::Batched,
    }
    pub select(pool: &InstrumentedPool, max_batch: usize);

    /// Counts the units of a message. Returns false if it was counted before.
    async fn count_once(&self, message: SalesMessage) -> Result<bool, HandlerError>;
}

impl SalesCounts {
    /// Counts an order's units, once.
    pub(super) async fn count(&self, message: SalesMessage) -> Result<HandlerOutcome, HandlerError> {
        Ok(if self.count_once(message).await? {
            HandlerOutcome::Done
        } else {
            HandlerOutcome::AlreadyDone
        })
    }
}
