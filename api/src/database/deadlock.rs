//! Deadlocks. Everybody locks rows in one order, so none of ours wait for each other for ever; an import or somebody's
//! `psql` may lock in another. Postgres then ends one of the two, which has changed nothing and can begin again.

/// How often a transaction is begun that deadlocks end. What is left is a 503, and the client may ask again.
pub const ATTEMPTS: u32 = 4;

pub use storefront::orders::is_deadlock;
