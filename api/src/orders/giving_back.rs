//! What an order held is given back: its coupon's use, its stock, its cart, its money. By whom it is called off, or
//! who declines it, says `cancel_order.rs` and `settlement.rs`; the worker does the same with what nobody heard of.

use std::time::Duration;

use storefront::telemetry::order_reached;
use storefront::third_parties::payment::{Changed, Found, PaymentStatus};
use uuid::Uuid;

use super::order::{Order, now};
use super::place_order::PlaceOrder;
use super::settlement::Settled;
use crate::database::Session;
use crate::database::deadlock::{self, is_deadlock};
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::state::App;

/// How an order that isn't paid comes to nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// The bank said no.
    Declined,
    /// The gateway knows no such token: there is no order.
    Withdrawn,
}

/// Several statements that belong together, begun again when a deadlock ends them.
///
/// # Errors
/// When a statement fails.
pub(super) async fn come_to_nothing(
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: &Order,
    end: End,
) -> Result<Settled, sqlx::Error> {
    let mut tried = 1;
    loop {
        match come_to_nothing_once(session, request, order, end).await {
            Err(error) if is_deadlock(&error) && tried < deadlock::ATTEMPTS => tried += 1,
            settled => return settled,
        }
    }
}

async fn come_to_nothing_once(
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: &Order,
    end: End,
) -> Result<Settled, sqlx::Error> {
    let mut transaction = session.begin().await?;
    let settled = match end {
        End::Declined => record_declined(&mut transaction, request, order).await?,
        End::Withdrawn => withdraw(&mut transaction, request, order).await?,
    };
    transaction.commit().await?;
    if matches!(settled, Settled::Declined) {
        order_reached("payment_failed");
    }
    Ok(settled)
}

/// Failed for good. The cart is let go, so that it can be ordered again, under another key. No money is held, which is
/// written down, so that the worker needn't ask the gateway.
///
/// # Errors
/// When a statement fails.
pub(super) async fn record_declined(
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: &Order,
) -> Result<Settled, sqlx::Error> {
    let failed = sqlx::query_scalar!(
        r#"with failed as (
               update orders
               set status = 'payment_failed', cart_id = null, updated_at = $2, payment_voided_at = $2
               where id = $1 and status = 'pending_payment'
               returning id, coupon_code
           ), coupon as (
               update coupons set uses = uses - 1 from failed where code = coupon_code
           ), event as (
               insert into order_events (order_id, id, at, event) select id, $3, $2, 'payment_failed' from failed
           ), answered as (
               update idempotency_keys set answer_status = 402, answer = '', locked_until = null
               from failed
               where owner = $4 and key = $5
           )
           select count(*) as "failed!" from failed"#,
        order.id,
        now(),
        Uuid::now_v7(),
        request.key.owner.as_slice(),
        request.key.key
    );
    if failed.fetch_one(&mut *session).await? == 0 {
        return Ok(Settled::Elsewhere {
            order: order.id,
            payment_id: None,
        });
    }
    give_stock_back(session, order.id).await?;
    Ok(Settled::Declined)
}

/// As if it had never been, the key included.
///
/// # Errors
/// When a statement fails.
pub(super) async fn withdraw(
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: &Order,
) -> Result<Settled, sqlx::Error> {
    let is_pending = sqlx::query_scalar!(
        "select id from orders where id = $1 and status = 'pending_payment' for update",
        order.id
    );
    if is_pending.fetch_optional(&mut *session).await?.is_none() {
        return Ok(Settled::Elsewhere {
            order: order.id,
            payment_id: None,
        });
    }
    // The coupon before the stock, as everywhere.
    let withdrawn = sqlx::query!(
        "with coupon as (update coupons set uses = uses - 1 where code = $2)
         delete from idempotency_keys where owner = $3 and key = $4 and order_id = $1",
        order.id,
        order.coupon,
        request.key.owner.as_slice(),
        request.key.key
    );
    withdrawn.execute(&mut *session).await?;
    give_stock_back(session, order.id).await?;
    let gone = sqlx::query!("delete from orders where id = $1", order.id);
    gone.execute(session).await?;
    Ok(Settled::Withdrawn)
}

/// Puts the units of an order back, in the transaction that ends the order: its status changes once, so they come back
/// once. Rows are locked in the order of their ids, as everybody does.
///
/// # Errors
/// When the statement fails.
pub(super) async fn give_stock_back(session: &mut Session<'_>, order: Uuid) -> Result<(), sqlx::Error> {
    let given_back = sqlx::query!(
        "with lines as (
             select variant_id, sum(quantity)::int as quantity from order_lines where order_id = $1 group by variant_id
         ), given_back as materialized (
             select variants.id, lines.quantity
             from lines
             join variants on variants.id = lines.variant_id
             order by variants.id
             for no key update of variants
         )
         update variants set stock_quantity = stock_quantity + given_back.quantity
         from given_back
         where variants.id = given_back.id",
        order
    );
    given_back.execute(session).await?;
    Ok(())
}

/// How long a void is waited for; the worker goes on with what isn't confirmed by then.
const VOID_PATIENCE: Duration = Duration::from_secs(2);

/// Lets the money go that is held for an order which came to nothing. What the gateway doesn't confirm in time is tried
/// again by the worker, which looks for orders without `payment_voided_at`.
///
/// # Errors
/// When the statement fails that writes it down.
pub(super) async fn void(
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
    let Ok(Some(payment_id)) = tokio::time::timeout(VOID_PATIENCE, voiding).await else {
        return Ok(());
    };
    let mut session = app.database.session(timings).await?;
    let voided = sqlx::query!(
        "update orders set payment_id = $2, payment_voided_at = now() where id = $1 and payment_voided_at is null",
        order,
        payment_id
    );
    voided.execute(&mut session).await?;
    Ok(())
}
