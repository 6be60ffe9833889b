//! The catalogue's epoch: a number in Postgres that every change raises.

use sqlx::{PgExecutor, Postgres};

/// Reads it.
///
/// # Errors
/// When the statement fails.
pub async fn read(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("select epoch from catalog_epoch")
        .fetch_one(executor)
        .await
}

/// Raises it. Do this in the transaction that changes what customers see, as its last statement: the row stays locked
/// until the commit.
///
/// # Errors
/// When the statement fails.
pub async fn raise(executor: impl sqlx::Executor<'_, Database = Postgres>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update catalog_epoch
         set epoch = greatest(epoch + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)"
    )
    .execute(executor)
    .await?;
    Ok(())
}
