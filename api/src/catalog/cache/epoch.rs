//! The catalogue's epoch: a number in Postgres that every change raises. Two parts make it: the one that [`raise`] raises,
//! and the one of stock that ran out or came back, which a trigger moves in steps (`migrations/`, `tell_of_stock`).

use sqlx::{PgExecutor, Postgres};

/// Reads it. Both parts only grow, so that their sum is another when one of them is. That of stock counts up to the
/// beginning of the window that we are in, and for the rest when the window has ended.
///
/// # Errors
/// When the statement fails.
pub async fn read(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select epoch + least(stock_epoch, now_us - now_us % stock_window_us) as "epoch!"
           from catalog_epoch, (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now_us) as clock"#
    )
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
