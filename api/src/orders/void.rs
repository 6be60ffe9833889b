//! Voids payments: releases the money held for an order that ended.

use std::time::Duration;

use shop::orders::record_void;
use shop::third_parties::payment::{ChangeOutcome, PaymentLookup, PaymentStatus};
use uuid::Uuid;

use super::Orders;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// How long a void is waited for; after that, the worker retries it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Voids the payment of an ended order. If the gateway doesn't confirm in time, the worker retries: it looks for
/// orders without `payment_voided_at`.
///
/// # Errors
/// When the statement that records it fails.
pub(super) async fn void_payment(
    orders: &Orders,
    timings: &Timings,
    order: Uuid,
    payment_id: Option<String>,
) -> Result<(), ApiError> {
    let voiding = async {
        let payment_id = match payment_id {
            Some(payment_id) => payment_id,
            None => match orders.payments.look_up(order).await {
                PaymentLookup::Payment {
                    payment_id,
                    status: PaymentStatus::Authorized | PaymentStatus::Voided,
                } => payment_id,
                _ => return None,
            },
        };
        let changed = orders.payments.void(&payment_id).await;
        (changed == ChangeOutcome::Done).then_some(payment_id)
    };
    let Ok(Some(payment_id)) = tokio::time::timeout(TIMEOUT, voiding).await else {
        return Ok(());
    };
    let mut connection = orders.database.acquire(timings).await?;
    record_void(&mut connection, order, Some(&payment_id)).await?;
    Ok(())
}
