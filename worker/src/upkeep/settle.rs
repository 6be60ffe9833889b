//! Orders that were reserved and never heard of again: the process died, or the gateway's answer was lost.
//!
//! The gateway is asked under the order's id. If the money is held, the order is paid, as it would have been; if not,
//! it has failed, and its stock, its coupon's use and its cart are given back. An order changes its status once, since
//! each change names `pending_payment`: whoever comes second, a client's retry or another worker, changes nothing. A retry
//! that goes on with an order holds it anew, so that it isn't given up on what the gateway said before.

use sqlx::types::time::OffsetDateTime;
use storefront::messages::Event;
use storefront::telemetry::orders_reached;
use storefront::third_parties::payment::{Found, PaymentStatus};
use uuid::Uuid;

use super::{BATCH, Round, Upkeep, count};
use crate::parts::Stop;

/// An order that is this worker's to settle for a while.
struct Unsettled {
    id: Uuid,
    held_until: OffsetDateTime,
}

impl Upkeep {
    pub(super) async fn settle_round(&self, stop: &Stop) -> Result<Round, sqlx::Error> {
        let orders = self.claim_unsettled().await?;
        let claimed = orders.len();
        for order in orders {
            if stop.is_given() {
                break;
            }
            let Unsettled {
                id: order,
                held_until,
            } = order;
            match self.payments.look_up(order).await {
                Found::Payment {
                    payment_id,
                    status: PaymentStatus::Authorized | PaymentStatus::Captured,
                } => count_orders("paid", self.record_paid(order, &payment_id).await?),
                Found::Payment {
                    status: PaymentStatus::Declined | PaymentStatus::Voided,
                    ..
                }
                | Found::Nothing => {
                    count_orders("payment_failed", self.record_failed(order, held_until).await?)
                }
                Found::Unknown => {
                    // It would give no answer to the next, either. All that were claimed come again.
                    tracing::warn!(%order, "the gateway can't be asked; the order is settled later");
                    return Ok(Round::Rest);
                }
            }
        }
        Ok(if claimed as i64 == BATCH {
            Round::More
        } else {
            Round::Rest
        })
    }

    /// Claimed by holding the reservation a little longer: nobody else finds it until then.
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
            returning id, reserved_until as held_until
            ",
            self.settings.settle_again.as_secs_f64(),
            BATCH
        )
        .fetch_all(&self.pool)
        .await
    }

    /// What the api does when the gateway answers in time, without an answer to keep: there is nobody to tell but by
    /// email.
    async fn record_paid(&self, order: Uuid, payment_id: &str) -> Result<u64, sqlx::Error> {
        let event = Event::OrderPaid { order_id: order };
        let paid = sqlx::query_scalar!(
            r#"
            with paid as (
                update orders
                set status = 'paid', payment_id = $2, updated_at = now()
                where id = $1 and status = 'pending_payment'
                returning id
            ), told as (
                insert into order_events (order_id, id, event) select id, $3, 'paid' from paid
            ), said as (
                insert into outbox (message_id, event, body) select $4::uuid, $5, $6 from paid
            )
            select count(*) as "paid!" from paid
            "#,
            order,
            payment_id,
            Uuid::now_v7(),
            Uuid::now_v7(),
            event.name(),
            event.body()
        )
        .fetch_one(&self.pool)
        .await?;
        if paid > 0 {
            tracing::info!(%order, payment_id, "an order whose payment was unknown is paid");
        }
        Ok(paid.cast_unsigned())
    }

    /// Unless somebody else holds it by now. The coupon before the stock, and variants in the order of their ids, as everybody locks them.
    async fn record_failed(&self, order: Uuid, held_until: OffsetDateTime) -> Result<u64, sqlx::Error> {
        let mut session = self.pool.session().await?;
        let mut transaction = session.begin().await?;
        let failed = sqlx::query_scalar!(
            r#"
            with failed as (
                update orders
                set status = 'payment_failed', cart_id = null, updated_at = now()
                where id = $1 and status = 'pending_payment' and reserved_until = $3
                returning id, coupon_code
            ), coupon as (
                update coupons set uses = uses - 1 from failed where code = coupon_code
            ), told as (
                insert into order_events (order_id, id, event) select id, $2, 'payment_failed' from failed
            )
            select count(*) as "failed!" from failed
            "#,
            order,
            Uuid::now_v7(),
            held_until
        )
        .fetch_one(&mut *transaction)
        .await?;
        if failed > 0 {
            sqlx::query!(
                "
                with lines as (
                    select variant_id, sum(quantity)::integer as quantity
                    from order_lines
                    where order_id = $1
                    group by variant_id
                ), locked as materialized (
                    select variants.id, lines.quantity
                    from lines
                    join variants on variants.id = lines.variant_id
                    order by variants.id
                    for no key update of variants
                )
                update variants
                set stock_quantity = stock_quantity + locked.quantity
                from locked
                where variants.id = locked.id
                ",
                order
            )
            .execute(&mut *transaction)
            .await?;
            tracing::info!(%order, "an order that was never paid has failed; its stock was given back");
        }
        transaction.commit().await?;
        Ok(failed.cast_unsigned())
    }
}

fn count_orders(status: &'static str, orders: u64) {
    count(status, orders);
    orders_reached(status, orders);
}
