//! Cancelled orders whose money may still be held: the api tries to let it go at once, and this insists.

use storefront::third_parties::payment::{Changed, Found, PaymentStatus};
use uuid::Uuid;

use super::{BATCH, Round, Upkeep, count};
use crate::parts::Stop;

struct Cancelled {
    id: Uuid,
    payment_id: Option<String>,
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
                Changed::Done => count("voided", self.record_voided(order.id).await?),
                Changed::Refused => {
                    tracing::error!(order = %order.id, "the gateway doesn't void a cancelled order's payment: money was taken");
                }
                Changed::Unknown => {
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

    /// Claimed by the time of its last change, which also gives the api the time to do it itself.
    async fn claim_unvoided(&self) -> Result<Vec<Cancelled>, sqlx::Error> {
        sqlx::query_as!(
            Cancelled,
            "
            update orders
            set updated_at = clock_timestamp()
            where id in (
                select id
                from orders
                where status = 'cancelled' and payment_voided_at is null
                  and updated_at < clock_timestamp() - make_interval(secs => $1)
                order by updated_at
                limit $2
                for update skip locked
            )
            returning id, payment_id
            ",
            self.settings.settle_again.as_secs_f64(),
            BATCH
        )
        .fetch_all(&self.pool)
        .await
    }

    async fn void(&self, order: &Cancelled) -> Changed {
        if let Some(payment_id) = &order.payment_id {
            return self.payments.void(payment_id).await;
        }
        // It was cancelled before anyone knew whether it was paid.
        match self.payments.look_up(order.id).await {
            Found::Payment {
                payment_id,
                status: PaymentStatus::Authorized | PaymentStatus::Captured,
            } => self.payments.void(&payment_id).await,
            Found::Payment {
                status: PaymentStatus::Declined | PaymentStatus::Voided,
                ..
            }
            | Found::Nothing => Changed::Done,
            Found::Unknown => Changed::Unknown,
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
}
