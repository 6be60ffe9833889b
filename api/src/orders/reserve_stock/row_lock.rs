//! **Technique**: pessimistic locking in a short transaction: `select … for update` on the order's SKUs, a comparison
//! in code, and an update. It ends before the payment.
//! **Cost**: two statements. A SKU's row is locked from the first of them to the end of the commit, one round trip
//! longer than by a conditional update.
//! **Fails when**: the application is far from the database: orders of a hot SKU serialize, and each adds the round
//! trip between its two statements.
//! **Source**: <https://www.postgresql.org/docs/current/explicit-locking.html>, row-level locks.

/// Its caller commits right after it.
use super::locked_stock;
use crate::database::InstrumentedConnection;
use crate::orders::draft::{OrderDraft, ReserveError};

/// The arm `stock=row_lock`.
#[derive(Debug, Clone, Copy)]
pub struct RowLock;

impl RowLock {
    pub(super) async fn take_stock(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        draft: &OrderDraft,
    ) -> Result<(), ReserveError> {
        locked_stock::take_stock(transaction, &draft.items).await
    }
}
