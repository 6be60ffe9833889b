//! A coupon's use, returned. It is taken in `reservation.rs`, by [`super::confirm`].

use crate::postgres::{Counter, Session};

/// Returns the use that an ended order held. Last of all locks. A counter that an operator reset stays at zero: the
/// constraint on it would otherwise keep the order from ever ending.
///
/// # Errors
/// When the statement fails.
pub(super) async fn release_coupon<C: Counter + Sync>(
    transaction: &mut Session<'_, C>,
    code: &str,
) -> Result<(), sqlx::Error> {
    let released = sqlx::query!(
        "update coupons set uses = greatest(uses - 1, 0) where code = $1",
        code
    );
    released.execute(transaction).await?;
    Ok(())
}
