//! Counts what was sold, by which the catalogue orders its best sellers: the lesson `sales_counts`.
//!
//! A paid order's units are added, a cancelled one's are taken off again if it had been paid: what an order comes to in the
//! end is counted, in whichever order the two messages come. Either arm counts a message once, however often it comes, and
//! both come to the same `products.sales_count`; they differ in when, and in what it costs. Each message is counted by
//! the arm that runs, so a shop may change its arm at any time.

#[cfg(feature = "baselines")]
mod per_order;

mod batched;

use storefront::messages::Consumer;
use storefront::postgres::MeasuredPool;
use storefront::variants::SalesCounts as Arm;
use uuid::Uuid;

use self::batched::Batched;
use super::{Done, Fault};

/// A message whose order's units are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) message_id: Uuid,
    pub(super) order_id: Uuid,
    pub(super) direction: Direction,
}

/// Whether units were sold or come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Sold,
    Cancelled,
}

impl Direction {
    /// Under which a message is noted in `inbox`.
    const fn consumer(self) -> Consumer {
        match self {
            Direction::Sold => Consumer::Popularity,
            Direction::Cancelled => Consumer::CancelledSales,
        }
    }

    /// What a unit counts.
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
    PerOrder(MeasuredPool),
    /// See [`batched`].
    Batched(Batched),
}

impl SalesCounts {
    /// Builds the arm. `most` messages are counted by one statement.
    pub fn new(arm: Arm, pool: &MeasuredPool, most: usize) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            Arm::PerOrder => Self::PerOrder(pool.clone()),
            Arm::Batched => Self::Batched(Batched::new(pool, most)),
        }
    }

    /// Counts an order's units, once.
    pub(super) async fn count(&self, counted: Counted) -> Result<Done, Fault> {
        let is_first = match self {
            #[cfg(feature = "baselines")]
            Self::PerOrder(pool) => per_order::count(pool, counted).await?,
            Self::Batched(batched) => batched.count(counted).await?,
        };
        Ok(if is_first { Done::Now } else { Done::Before })
    }
}
