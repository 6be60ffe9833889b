//! Orders that came to nothing and whose money may still be held: cancelled ones, and those that failed while a payment
//! was on its way. The api tries to let the money go at once, and this insists.
//!
//! That the gateway knows of no payment says little at first, since a request may still be on its way to it. So it is
//! asked once more when none can be any longer, and only then taken at its word. Of an order that was declined nobody asks:
//! the api writes `payment_voided_at` with the decline, since no money is held.

use storefront::third_parties::payment::{Changed, Found, PaymentStatus};
use uuid::Uuid;

use super::{BATCH, Round, Upkeep, count};
use crate::parts::Stop;

struct Ended {
    id: Uuid,
    payment_id: Option<String>,
    is_long_ago: bool,
}

/// Where an order's money is.
enum Money {
    /// None is held, and none will be.
    Free,
    /// The gateway doesn't let it go.
    Taken,
    /// The gateway knows of none. A request may still be on its way to it.
    MayCome,
    /// No answer in time, or a fault.
    Unknown,
}

impl Upkeep {
    pub(super) async fn void_round(&self, stop: &Stop) -> Result<Round, sqlx::Error> {
        let orders = self.claim_unvoided().await?;
        let claimed = orders.len();
        for order in orders {
            if stop.is_given() {
                break;
            }
            match self.void(&order).await {
                Money::Free => count("voided", self.record_voided(order.id).await?),
                Money::Taken => {
                    tracing::error!(order = %order.id, "the gateway doesn't void the payment of an order that came to nothing: money was taken");
                }
                Money::MayCome => self.ask_again_after_grace(order.id).await?,
                Money::Unknown => {
                    tracing::warn!(order = %order.id, "the gateway can't be asked; the payment is voided later");
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

    /// Claimed by the time of its last change, which also gives the api the time to do it itself. When it ended is told by
    /// its timeline.
    async fn claim_unvoided(&self) -> Result<Vec<Ended>, sqlx::Error> {
        sqlx::query_as!(
            Ended,
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

    async fn void(&self, order: &Ended) -> Money {
        let known = match &order.payment_id {
            Some(payment_id) => Some(payment_id.clone()),
            // It ended before anyone knew whether it was paid.
            None => match self.payments.look_up(order.id).await {
                Found::Payment {
                    payment_id,
                    status: PaymentStatus::Authorized | PaymentStatus::Captured,
                } => Some(payment_id),
                Found::Payment {
                    status: PaymentStatus::Declined | PaymentStatus::Voided,
                    ..
                } => None,
                Found::Nothing if order.is_long_ago => None,
                Found::Nothing => return Money::MayCome,
                Found::Unknown => return Money::Unknown,
            },
        };
        let Some(payment_id) = known else {
            return Money::Free;
        };
        match self.payments.void(&payment_id).await {
            Changed::Done => Money::Free,
            Changed::Refused => Money::Taken,
            Changed::Unknown => Money::Unknown,
        }
    }

    async fn record_voided(&self, order: Uuid) -> Result<u64, sqlx::Error> {
        let voided = sqlx::query!(
            "update orders set payment_voided_at = now() where id = $1 and payment_voided_at is null",
            order
        )
        .execute(&self.pool)
        .await?;
        Ok(voided.rows_affected())
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
