//! Reconciliation of orders with an unknown payment outcome, because their process died or the gateway's
//! response was lost.
//!
//! The payment is looked up at the gateway by the order's id. If the money is authorized, the order becomes
//! paid. Otherwise it fails, and its stock, its coupon use and its cart are returned (compensation). Both use
//! the same transitions as the api, `shop/src/orders/`. A client's retry that resumes the order extends
//! its reservation, so that the order doesn't fail because of an older response from the gateway.

use shop::messages::Event;
use shop::orders::orders_reached;
use shop::orders::{FailureReason, Payment, PendingEvent, fail_order, pay_order};
use shop::third_parties::payment::{PaymentLookup, PaymentStatus};
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::backoff::{Attempt, ClaimedOrder};
use super::{BATCH, BackgroundTasks, Round, count};
use crate::components::ShutdownToken;

/// An order with an expired reservation, leased to this worker.
struct Unsettled {
    id: Uuid,
    reserved_until: OffsetDateTime,
}

impl ClaimedOrder for Unsettled {
    const POSTPONED: &'static str = "settle_put_back";

    fn id(&self) -> Uuid {
        self.id
    }

    async fn attempt(&self, tasks: &BackgroundTasks) -> Result<Attempt, sqlx::Error> {
        let reason = match tasks.payments.look_up(self.id).await {
            PaymentLookup::Payment {
                payment_id,
                status: PaymentStatus::Authorized | PaymentStatus::Captured,
            } => {
                tasks.record_paid(self.id, &payment_id).await?;
                return Ok(Attempt::Done);
            }
            PaymentLookup::Payment {
                status: PaymentStatus::Declined | PaymentStatus::Voided,
                ..
            }
            | PaymentLookup::Nothing => FailureReason::NotPaid(self.reserved_until),
            PaymentLookup::Unclear => return Ok(Attempt::Unclear),
            PaymentLookup::Unanswered => return Ok(Attempt::Unanswered),
        };
        tasks.record_failed(self.id, reason).await?;
        Ok(Attempt::Done)
    }

    /// Does nothing if a retry has extended the reservation.
    async fn postpone(&self, tasks: &BackgroundTasks) -> Result<(), sqlx::Error> {
        let backoff = tasks.backoff();
        let postpone = sqlx::query!(
            "
            update orders
            set put_back = least(put_back + 1, 1000),
                reserved_until = clock_timestamp()
                                 + make_interval(secs => least($2 * 2 ^ least(put_back + 1, 20), $3))
            where id = $1 and status = 'pending_payment' and reserved_until = $4
            ",
            self.id,
            backoff.first_s,
            backoff.longest_s,
            self.reserved_until
        );
        postpone.execute(&tasks.pool).await?;
        Ok(())
    }
}

impl BackgroundTasks {
    pub(super) async fn reconcile_round(&self, shutdown: &ShutdownToken) -> Result<Round, sqlx::Error> {
        let orders = self.claim_unsettled().await?;
        self.attempt_each(orders, shutdown).await
    }

    /// Extending the reservation leases the order: other workers don't find it until the extension expires.
    async fn claim_unsettled(&self) -> Result<Vec<Unsettled>, sqlx::Error> {
        sqlx::query_as!(
            Unsettled,
            "
            update orders
            set reserved_until = clock_timestamp() + make_interval(secs => $1)
            where id in (
                select id
                from orders
                -- The condition of the index `orders_unpaid_idx`.
                where starts_with(status, 'pending_payment') and reserved_until < statement_timestamp()
                order by reserved_until
                limit $2
                for update skip locked
            )
            returning id, reserved_until
            ",
            self.settings.settle_again.as_secs_f64(),
            BATCH
        )
        .fetch_all(&self.pool)
        .await
    }

    async fn record_paid(&self, order: Uuid, payment_id: &str) -> Result<(), sqlx::Error> {
        let event = PendingEvent::new(Event::OrderPaid { order_id: order }, None);
        let mut connection = self.pool.acquire().await?;
        let payment = Payment {
            order,
            payment_id,
            at: OffsetDateTime::now_utc(),
            event: event.outbox_row(),
            message_id: event.message_id,
            done_by_caller: &[],
            response: None,
        };
        if pay_order(&mut connection, payment).await? {
            tracing::info!(%order, payment_id, "reconciled an order of unknown outcome: it is paid");
            count_order("paid");
        }
        Ok(())
    }

    async fn record_failed(&self, order: Uuid, reason: FailureReason<'_>) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        if fail_order(&mut connection, order, reason, OffsetDateTime::now_utc()).await? {
            tracing::info!(%order, "reconciled an order of unknown outcome: it failed unpaid, and its stock was returned");
            count_order("payment_failed");
        }
        Ok(())
    }
}

fn count_order(status: &'static str) {
    count(status, 1);
    orders_reached(status, 1);
}
