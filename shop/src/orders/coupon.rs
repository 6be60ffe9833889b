//! Returns a coupon's use, which `reservation.rs` takes in [`super::check_reservation`].

use platform::postgres::{Counter, InstrumentedConnection};

/// Returns the use of an ended order's coupon. Its row is locked last. A counter that an operator has reset
/// stays at zero, otherwise its check constraint would prevent the order from ever ending.
///
/// # Errors
/// When the statement fails.
pub(super) async fn release_coupon<C: Counter + Sync>(
    transaction: &mut InstrumentedConnection<'_, C>,
    code: &str,
) -> Result<(), sqlx::Error> {
    let released = sqlx::query!(
        "update coupons set uses = greatest(uses - 1, 0) where code = $1",
        code
    );
    released.execute(transaction).await?;
    Ok(())
}
