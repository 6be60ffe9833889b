//! **Technique**: pessimistic locking in a short transaction: `select … for update` on the order's SKUs, a comparison
//! in code, and an update. It ends before the payment.
//! **Cost**: two statements. A SKU's row is locked from the first of them to the end of the commit, one round trip
//! longer than by a conditional update.
//! **Fails when**: the application is far from the database: orders of a hot SKU serialize, and each adds the round
//! trip between its two statements.
//! **Source**: <https://www.postgresql.org/docs/current/explicit-locking.html>, row-level locks.

/// Its caller commits right after it.
pub(super) use super::locked_stock::take_stock;
