//! The money that is held for an order which ended is released at the gateway.

use std::time::Duration;

use storefront::orders::record_void;
use storefront::third_parties::payment::{Changed, Found, PaymentStatus};
use uuid::Uuid;

use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::state::App;

/// How long a void is waited for; the worker goes on with what isn't confirmed by then.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Voids the payment of an order that ended. What the gateway doesn't confirm in time is tried again by the worker, which
/// looks for orders without `payment_voided_at`.
///
/// # Errors
/// When the statement fails that records it.
pub(super) async fn void_payment(
    app: &App,
    timings: &Timings,
    order: Uuid,
    payment_id: Option<String>,
) -> Result<(), ApiError> {
    let voiding = async {
        let payment_id = match payment_id {
            Some(payment_id) => payment_id,
            None => match app.orders.payments.look_up(order).await {
                Found::Payment {
                    payment_id,
                    status: PaymentStatus::Authorized | PaymentStatus::Voided,
                } => payment_id,
                _ => return None,
            },
        };
        let changed = app.orders.payments.void(&payment_id).await;
        (changed == Changed::Done).then_some(payment_id)
    };
    let Ok(Some(payment_id)) = tokio::time::timeout(TIMEOUT, voiding).await else {
        return Ok(());
    };
    let mut session = app.database.session(timings).await?;
    record_void(&mut session, order, Some(&payment_id)).await?;
    Ok(())
}
