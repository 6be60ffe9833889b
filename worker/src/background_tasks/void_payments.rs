//! Voids payments of orders that were cancelled, or that failed while an authorization was in flight. The api
//! tries to void the payment immediately; this task retries until it is voided.
//!
//! At first, a lookup that finds no payment isn't conclusive, because an authorization may still be in
//! flight. The gateway is queried again after a grace period, when that is no longer possible, and
//! only then trusted. Declined orders are skipped: no money is held, so the api sets
//! `payment_voided_at` with the decline.

use shop::orders::record_void;
use shop::third_parties::payment::{ChangeOutcome, PaymentLookup, PaymentStatus};
use uuid::Uuid;

use super::backoff::{Attempt, ClaimedOrder};
use super::{BATCH, BackgroundTasks, Round, count};
use crate::components::ShutdownToken;

/// A cancelled or failed order, leased to this worker.
struct Unvoided {
    id: Uuid,
    payment_id: Option<String>,
    /// Whether the grace period is over.
    is_long_ago: bool,
}

enum VoidResult {
    /// No money is held, and none will be. The payment's id, if there is one.
    Voided { payment_id: Option<String> },
    /// The gateway refuses to void the payment.
    Refused,
    /// The gateway knows of no payment, but an authorization may still be in flight.
    MaybeInFlight,
    /// The gateway's response can't be interpreted.
    Unclear,
    /// The gateway didn't respond in time, or failed.
    Unanswered,
}

impl ClaimedOrder for Unvoided {
    const POSTPONED: &'static str = "void_put_back";

    fn id(&self) -> Uuid {
        self.id
    }

    async fn attempt(&self, tasks: &BackgroundTasks) -> Result<Attempt, sqlx::Error> {
        match tasks.void(self).await {
            VoidResult::Voided { payment_id } => {
                tasks.record_voided(self.id, payment_id.as_deref()).await?;
                Ok(Attempt::Done)
            }
            VoidResult::MaybeInFlight => {
                tasks.retry_after_grace_period(self.id).await?;
                Ok(Attempt::Done)
            }
            VoidResult::Refused => {
                tracing::error!(order = %self.id, "the gateway refuses to void the payment of a cancelled or failed order: the money was captured");
                Ok(Attempt::Unclear)
            }
            VoidResult::Unclear => Ok(Attempt::Unclear),
            VoidResult::Unanswered => Ok(Attempt::Unanswered),
        }
    }

    async fn postpone(&self, tasks: &BackgroundTasks) -> Result<(), sqlx::Error> {
        let backoff = tasks.backoff();
        let postpone = sqlx::query!(
            "
            update orders
            set put_back = least(put_back + 1, 1000),
                updated_at = clock_timestamp() + make_interval(secs => least($2 * 2 ^ least(put_back + 1, 20), $3))
            where id = $1 and payment_voided_at is null
            ",
            self.id,
            backoff.first_s,
            backoff.longest_s
        );
        postpone.execute(&tasks.pool).await?;
        Ok(())
    }
}

impl BackgroundTasks {
    pub(super) async fn void_round(&self, shutdown: &ShutdownToken) -> Result<Round, sqlx::Error> {
        let orders = self.claim_unvoided().await?;
        self.attempt_each(orders, shutdown).await
    }

    /// Updating the time of the last change leases the order. Waiting for that time to be old enough also
    /// gives the api the chance to void the payment itself. The grace period counts from the order's end,
    /// which its timeline records.
    async fn claim_unvoided(&self) -> Result<Vec<Unvoided>, sqlx::Error> {
        sqlx::query_as!(
            Unvoided,
            r#"
            update orders
            set updated_at = clock_timestamp()
            where id in (
                select id
                from orders
                where status in ('cancelled', 'payment_failed') and payment_voided_at is null
                  and updated_at < statement_timestamp() - make_interval(secs => $1)
                order by updated_at
                limit $2
                for update skip locked
            )
            returning id, payment_id,
                      not exists (
                          select from order_events
                          where order_id = orders.id and event in ('cancelled', 'payment_failed')
                            and at > statement_timestamp() - make_interval(secs => $3)
                      ) as "is_long_ago!"
            "#,
            self.settings.settle_again.as_secs_f64(),
            BATCH,
            self.settings.void_grace.as_secs_f64()
        )
        .fetch_all(&self.pool)
        .await
    }

    async fn void(&self, order: &Unvoided) -> VoidResult {
        let held = match &order.payment_id {
            Some(payment_id) => Some(payment_id.clone()),
            // The order ended before its payment's outcome was known.
            None => match self.payments.look_up(order.id).await {
                PaymentLookup::Payment {
                    payment_id,
                    status: PaymentStatus::Authorized | PaymentStatus::Captured,
                } => Some(payment_id),
                PaymentLookup::Payment {
                    payment_id,
                    status: PaymentStatus::Declined | PaymentStatus::Voided,
                } => {
                    let payment_id = Some(payment_id);
                    return VoidResult::Voided { payment_id };
                }
                PaymentLookup::Nothing if order.is_long_ago => None,
                PaymentLookup::Nothing => return VoidResult::MaybeInFlight,
                PaymentLookup::Unclear => return VoidResult::Unclear,
                PaymentLookup::Unanswered => return VoidResult::Unanswered,
            },
        };
        let Some(payment_id) = held else {
            return VoidResult::Voided { payment_id: None };
        };
        match self.payments.void(&payment_id).await {
            ChangeOutcome::Done => VoidResult::Voided {
                payment_id: Some(payment_id),
            },
            ChangeOutcome::Refused => VoidResult::Refused,
            ChangeOutcome::Unknown => VoidResult::Unanswered,
        }
    }

    async fn record_voided(&self, order: Uuid, payment_id: Option<&str>) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        if record_void(&mut connection, order, payment_id).await? {
            count("voided", 1);
        }
        Ok(())
    }

    /// Extends the lease to the grace period, so that an unpaid order is looked up twice instead
    /// of every 30 seconds.
    async fn retry_after_grace_period(&self, order: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "
            update orders
            set updated_at = clock_timestamp() + make_interval(secs => $2)
            where id = $1 and payment_voided_at is null
            ",
            order,
            self.settings.void_grace.as_secs_f64()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
