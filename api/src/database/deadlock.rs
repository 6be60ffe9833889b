//! Deadlocks. The shop's own transactions follow one lock order, so they can't deadlock with each other; an import or an
//! operator's `psql` may lock in another order. Postgres then aborts one of the two, which can be retried.

/// How often a transaction is attempted that ends in a deadlock. After that, the response is a 503.
pub const ATTEMPTS: u32 = 4;

pub use shop::orders::is_deadlock;
