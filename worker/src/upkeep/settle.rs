//! Orders that were reserved and never heard of again: the process died, or the gateway's answer was lost.
//!
//! The gateway is asked under the order's id (reconciliation). If the money is held, the order is paid, as it would have
//! been; if not, it has failed, and its stock, its coupon's use and its cart are returned: by the transitions that the api
//! uses, `storefront/src/orders/`. A retry of the client that goes on with an order extends its reservation, so that it
//! isn't failed on what the gateway answered before.

use sqlx::types::time::OffsetDateTime;
use storefront::messages::Event;
use storefront::orders::{FailureReason, Payment, PendingEvent, fail_order, pay_order};
use storefront::telemetry::orders_reached;
use storefront::third_parties::payment::{PaymentLookup, PaymentStatus};
use uuid::Uuid;

use super::put_back::{Attempt, ClaimedOrder};
use super::{BATCH, Round, Upkeep, count};
use crate::parts::Stop;

/// An order that is this worker's to settle for a while.
struct Unsettled {
    id: Uuid,
    reserved_until: OffsetDateTime,
}

impl ClaimedOrder for Unsettled {
    const PUT_BACK: &'static str = "settle_put_back";

    fn id(&self) -> Uuid {
        self.id
    }

    async fn attempt(&self, upkeep: &Upkeep) -> Result<Attempt, sqlx::Error> {
        let reason = match upkeep.payments.look_up(self.id).await {
            PaymentLookup::Payment {
                payment_id,
                status: PaymentStatus::Authorized | PaymentStatus::Captured,
            } => {
                upkeep.record_paid(self.id, &payment_id).await?;
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
        upkeep.record_failed(self.id, reason).await?;
        Ok(Attempt::Done)
    }

    /// Unless a retry has extended the reservation.
    async fn put_back(&self, upkeep: &Upkeep) -> Result<(), sqlx::Error> {
        let backoff = upkeep.backoff();
        let put_back = sqlx::query!(
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
        put_back.execute(&upkeep.pool).await?;
        Ok(())
    }
}

impl Upkeep {
    pub(super) async fn settle_round(&self, stop: &Stop) -> Result<Round, sqlx::Error> {
        let orders = self.claim_unsettled().await?;
        self.attempt_each(orders, stop).await
    }

    /// Claimed by extending the reservation a little: no other worker finds it until then.
    async fn claim_unsettled(&self) -> Result<Vec<Unsettled>, sqlx::Error> {
        sqlx::query_as!(
            Unsettled,
            "
            update orders
            set reserved_until = clock_timestamp() + make_interval(secs => $1)
            where id in (
                select id
                from orders
                where status = 'pending_payment' and reserved_until < clock_timestamp()
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
        let mut session = self.pool.session().await?;
        let payment = Payment {
            order,
            payment_id,
            at: OffsetDateTime::now_utc(),
            event: event.outbox_row(),
            message_id: event.message_id,
            done_by_caller: &[],
            answer: None,
        };
        if pay_order(&mut session, payment).await? {
            tracing::info!(%order, payment_id, "an order whose payment was unknown is paid");
            count_order("paid");
        }
        Ok(())
    }

    async fn record_failed(&self, order: Uuid, reason: FailureReason<'_>) -> Result<(), sqlx::Error> {
        let mut session = self.pool.session().await?;
        if fail_order(&mut session, order, reason, OffsetDateTime::now_utc()).await? {
            tracing::info!(%order, "an order that was never paid has failed; its stock was returned");
            count_order("payment_failed");
        }
        Ok(())
    }
}

fn count_order(status: &'static str) {
    count(status, 1);
    orders_reached(status, 1);
}
