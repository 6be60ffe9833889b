//! **Technique**: one conditional update of all SKUs of the order, on the condition that each has enough stock and
//! still has the price that was read, at the end of a short transaction, or in the single statement of `reservation/`.
//! The payment follows with no transaction open.
//! **Cost**: one statement. A SKU's row is locked from that statement to the end of the commit.
//! **Fails when**: one SKU is so hot that its commits, which serialize, are the bottleneck: then stock is sharded, or
//! one writer takes it in batches for many orders.
//! **Source**: <https://www.postgresql.org/docs/current/transaction-iso.html>, read committed: an update that waited
//! for a lock evaluates its condition again.
use crate::database::InstrumentedConnection;
use crate::orders::draft::{OrderDraft, ReserveError};

/// Takes the stock by a conditional update.
#[derive(Debug, Clone, Copy)]
pub struct Conditional;

impl Conditional {
    /// The next attempt reads the cart again and reports why: too little stock, or another price.
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
