//! **Technique**: a transaction of one statement for the order, one for its lines and one for its stock.
//! **Cost**: five round trips, with those that begin and commit. Between them the transaction is open, and what it has
//! locked is held: the cart, and at the end the stock.
//! **Fails when**: the database is far away, or a SKU is hot: a lock is held for round trips in which nothing happens.
//! **Source**: <https://www.postgresql.org/docs/current/tutorial-transactions.html>.

/// This arm always does what the other one falls back to.
pub(super) use super::reserve_in_transaction as reserve;
