//! **Technique**: a transaction of one statement for the order, one for its lines and one for its stock.
//! **Cost**: five round trips, with those that begin and commit. Between them the transaction is open, and what it has
//! locked is held: the cart, and at the end the stock.
//! **Fails when**: the database is far away, or a SKU is hot: a lock is held for round trips in which nothing happens.
//! **Source**: <https://www.postgresql.org/docs/current/tutorial-transactions.html>.

use super::reserve_within;
use crate::database::InstrumentedConnection;
use crate::orders::Orders;
use crate::orders::draft::{OrderDraft, ReserveError};
use crate::orders::idempotency::RequestKey;

pub(super) async fn reserve(
    orders: &Orders,
    connection: &mut InstrumentedConnection<'_>,
    key: &RequestKey,
    draft: &mut OrderDraft,
) -> Result<(), ReserveError> {
    let mut transaction = connection.begin().await?;
    reserve_within(orders, &mut transaction, key, draft).await?;
    transaction.commit().await?;
    Ok(())
}
