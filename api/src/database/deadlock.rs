//! Deadlocks. Everybody locks rows in one order, so none of ours wait for each other for ever; an import or somebody's
//! `psql` may lock in another. Postgres then ends one of the two, which has changed nothing and can begin again.

/// How often a transaction is begun that deadlocks end. What is left is a 503, and the client may ask again.
pub const ATTEMPTS: u32 = 4;

/// Whether Postgres ended the transaction so that another can go on.
pub fn is_deadlock(error: &sqlx::Error) -> bool {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    const DEADLOCK_DETECTED: &str = "40P01";
    let fault = error.as_database_error();
    fault.is_some_and(|fault| fault.code().as_deref() == Some(DEADLOCK_DETECTED))
}
