//! Orders that came to nothing and whose money may still be held: cancelled ones, and those that failed while a payment
//! was on its way. The api tries to let the money go at once, and this insists.
//!
//! That the gateway knows of no payment says little at first, since a request may still be on its way to it. So it is
//! asked once more when none can be any longer, and only then taken at its word. Of an order that was declined nobody asks:
//! the api writes `payment_voided_at` with the decline, since no money is held.

use storefront::orders::record_void;
use storefront::third_parties::payment::{ChangeOutcome, PaymentLookup, PaymentStatus};
use uuid::Uuid;

use super::put_back::{Attempt, ClaimedOrder};
use super::{BATCH, Round, Upkeep, count};
use crate::parts::Stop;

/// An order that ended, and is this worker's to void for a while.
struct Unvoided {
    id: Uuid,
    payment_id: Option<String>,
    is_long_ago: bool,
}

/// Where an order's money is.
enum Money {
    /// None is held, and none will be.
    Free,
    /// The gateway doesn't release it.
    Taken,
    /// The gateway knows of none. A request may still be on its way to it.
    MayCome,
    /// An answer that can't be understood.
    Unclear,
    /// No answer in time, or a fault.
    Unanswered,
}

impl ClaimedOrder for Unvoided {
    const PUT_BACK: &'static str = "void_put_back";

    fn id(&self) -> Uuid {
        self.id
    }

    async fn attempt(&self, upkeep: &Upkeep) -> Result<Attempt, sqlx::Error> {
        match upkeep.void(self).await {
            Money::Free => {
                upkeep.record_voided(self.id).await?;
                Ok(Attempt::Done)
            }
            Money::MayCome => {
                upkeep.ask_again_after_grace(self.id).await?;
                Ok(Attempt::Done)
            }
            Money::Taken => {
                tracing::error!(order = %self.id, "the gateway doesn't void the payment of an order that came to nothing: money was taken");
                Ok(Attempt::Unclear)
            }
            Money::Unclear => Ok(Attempt::Unclear),
            Money::Unanswered => Ok(Attempt::Unanswered),
        }
    }

    async fn put_back(&self, upkeep: &Upkeep) -> Result<(), sqlx::Error> {
        let backoff = upkeep.backoff();
        let put_back = sqlx::query!(
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
        put_back.execute(&upkeep.pool).await?;
        Ok(())
    }
}

impl Upkeep {
    pub(super) async fn void_round(&self, stop: &Stop) -> Result<Round, sqlx::Error> {
        let orders = self.claim_unvoided().await?;
        self.attempt_each(orders, stop).await
    }

    /// Claimed by the time of its last change, which also gives the api the time to do it itself. When it ended is told by
    /// its timeline.
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
                  and updated_at < clock_timestamp() - make_interval(secs => $1)
                order by updated_at
                limit $2
                for update skip locked
            )
            returning id, payment_id,
                      not exists (
                          select from order_events
                          where order_id = orders.id and event in ('cancelled', 'payment_failed')
                            and at > clock_timestamp() - make_interval(secs => $3)
                      ) as "is_long_ago!"
            "#,
            self.settings.settle_again.as_secs_f64(),
            BATCH,
            self.settings.void_grace.as_secs_f64()
        )
        .fetch_all(&self.pool)
        .await
    }

    async fn void(&self, order: &Unvoided) -> Money {
        let known = match &order.payment_id {
            Some(payment_id) => Some(payment_id.clone()),
            // It ended before anyone knew whether it was paid.
            None => match self.payments.look_up(order.id).await {
                PaymentLookup::Payment {
                    payment_id,
                    status: PaymentStatus::Authorized | PaymentStatus::Captured,
                } => Some(payment_id),
                PaymentLookup::Payment {
                    status: PaymentStatus::Declined | PaymentStatus::Voided,
                    ..
                } => None,
                PaymentLookup::Nothing if order.is_long_ago => None,
                PaymentLookup::Nothing => return Money::MayCome,
                PaymentLookup::Unclear => return Money::Unclear,
                PaymentLookup::Unanswered => return Money::Unanswered,
            },
        };
        let Some(payment_id) = known else {
            return Money::Free;
        };
        match self.payments.void(&payment_id).await {
            ChangeOutcome::Done => Money::Free,
            ChangeOutcome::Refused => Money::Taken,
            ChangeOutcome::Unknown => Money::Unanswered,
        }
    }

    async fn record_voided(&self, order: Uuid) -> Result<(), sqlx::Error> {
        let mut session = self.pool.session().await?;
        if record_void(&mut session, order, None).await? {
            count("voided", 1);
        }
        Ok(())
    }

    /// By a claim that lasts so long: an order that nobody paid for is asked for twice, not every half a minute.
    async fn ask_again_after_grace(&self, order: Uuid) -> Result<(), sqlx::Error> {
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
