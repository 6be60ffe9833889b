//! **Technique**: a conditional update: one statement takes the stock of all SKUs of the order, if each has enough and
//! still has the price that was read. It runs late in a short transaction, or is part of the single statement of
//! `reservation/`. The payment follows with no transaction open.
//! **Cost**: one statement. A SKU's row is locked from that statement to the end of the commit.
//! **Fails when**: one SKU is so hot that its commits, which serialize, are the bottleneck. Then its stock can be
//! sharded, or a single writer can take it in batches for many orders.
//! **Source**: <https://www.postgresql.org/docs/current/transaction-iso.html>, read committed: an update that waited
//! for a lock evaluates its condition again.

use crate::database::InstrumentedConnection;
use crate::orders::draft::{OrderDraft, ReserveError};

/// Takes the stock with a conditional update.
#[derive(Debug, Clone, Copy)]
pub struct Conditional;

impl Conditional {
    /// If the condition fails, the order is retried. The next attempt reads the cart again: it rejects the order if a SKU
    /// has too little stock, and uses the current prices.
    pub(in crate::orders) async fn take_stock(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        draft: &OrderDraft,
    ) -> Result<(), ReserveError> {
        match shop::orders::take_stock(transaction, &draft.units()).await? {
            true => Ok(()),
            false => Err(ReserveError::Retry),
        }
    }
}
