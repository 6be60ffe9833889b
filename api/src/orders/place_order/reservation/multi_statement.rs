//! **Technique**: a transaction of one statement for the order, one for its lines and one for its stock.
//! **Cost**: five round trips, with those that begin and commit. Between them the transaction is open, and what it has
//! locked is held: the cart, and at the end the stock.
//! **Fails when**: the database is far away, or a SKU is hot: a lock is held for round trips in which nothing happens.
//! **Source**: <https://www.postgresql.org/docs/current/tutorial-transactions.html>.

use super::reserve_in_transaction;
use crate::database::Session;
use crate::orders::place_order::{OrderDraft, PlaceOrder, ReserveError, TakeStock};
use crate::state::App;

pub(super) async fn reserve<S: TakeStock>(
    app: &App,
    session: &mut Session<'_>,
    request: &PlaceOrder,
    draft: &mut OrderDraft,
) -> Result<(), ReserveError> {
    reserve_in_transaction::<S>(app, session, request, draft).await
}
