//! **Technique**: a transaction of one statement for the order, one for its lines and one for its stock.
//! **Cost**: five round trips, with those that begin and commit. Between them the transaction is open, and what it has
//! locked is held: the cart, and at the end the stock.
//! **Fails when**: the database is far away, or a SKU is hot: a lock is held for round trips in which nothing happens.
//! **Source**: <https://www.postgresql.org/docs/current/tutorial-transactions.html>.

use super::reserve_in_transaction;
use crate::database::InstrumentedConnection;
use crate::orders::Orders;
use crate::orders::draft::{OrderDraft, ReserveError};
use crate::orders::idempotency::RequestKey;

/// The arm `reservation=multi_statement`: it always does what the other one falls back to.
#[derive(Debug, Clone, Copy)]
pub struct MultiStatement;

impl MultiStatement {
    pub(super) async fn reserve(
        self,
        orders: &Orders,
        connection: &mut InstrumentedConnection<'_>,
        key: &RequestKey,
        draft: &mut OrderDraft,
    ) -> Result<(), ReserveError> {
        reserve_in_transaction(orders, connection, key, draft).await
    }
}
