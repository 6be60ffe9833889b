//! What has expired is deleted, in batches that hold no lock for long and skip what another worker deletes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::{Round, Upkeep, count};
use crate::parts::Stop;

/// Rows that one statement deletes.
const BATCH: i64 = 1000;

impl Upkeep {
    pub(super) async fn purge_round(&self, stop: &Stop) -> Result<Round, sqlx::Error> {
        let mut ended = Round::Rest;
        for table in [
            Table::IdempotencyKeys,
            Table::RefreshTokens,
            Table::Sessions,
            Table::SignInFailures,
            Table::Inbox,
            Table::Carts,
        ] {
            if stop.is_given() {
                break;
            }
            let deleted = self.purge(table).await?;
            count("purged", deleted);
            if deleted >= BATCH.cast_unsigned() {
                ended = Round::More;
            }
        }
        Ok(ended)
    }

    async fn purge(&self, table: Table) -> Result<u64, sqlx::Error> {
        let deleted = match table {
            // A key stays bound to its order for as long as an answer is kept, not longer.
            Table::IdempotencyKeys => {
                sqlx::query!(
                    "delete from idempotency_keys where (owner, key) in (
                         select owner, key from idempotency_keys where expires_at < now()
                         order by expires_at limit $1 for update skip locked)",
                    BATCH
                )
                .execute(&self.pool)
                .await
            }
            Table::RefreshTokens => {
                sqlx::query!(
                    "delete from refresh_tokens where token_hash in (
                         select token_hash from refresh_tokens where expires_at < now()
                         limit $1 for update skip locked)",
                    BATCH
                )
                .execute(&self.pool)
                .await
            }
            Table::Sessions => {
                sqlx::query!(
                    "delete from sessions where id in (
                         select id from sessions where expires_at < now()
                         order by expires_at limit $1 for update skip locked)",
                    BATCH
                )
                .execute(&self.pool)
                .await
            }
            Table::SignInFailures => {
                sqlx::query!(
                    "delete from sign_in_failures where counted_under in (
                         select counted_under from sign_in_failures where until < now()
                         limit $1 for update skip locked)",
                    BATCH
                )
                .execute(&self.pool)
                .await
            }
            // Claims of dead workers have no `done_at`: their messages come again, and take them over.
            Table::Inbox => {
                sqlx::query!(
                    "delete from inbox where (message_id, consumer) in (
                         select message_id, consumer from inbox
                         where done_at < now() - make_interval(secs => $2)
                         order by done_at limit $1 for update skip locked)",
                    BATCH,
                    f64::from(self.settings.inbox_retention_s)
                )
                .execute(&self.pool)
                .await
            }
            // Bought ones as well. Ids begin with the time at which they were made: the primary key leads to the old
            // ones, of which few are left. An index by the time of the last change would be written to by each change
            // of each cart.
            Table::Carts => {
                sqlx::query!(
                    "delete from carts where id in (
                         select id from carts
                         where id < $2 and updated_at < now() - make_interval(secs => $3)
                         order by id limit $1 for update skip locked)",
                    BATCH,
                    first_id_of(SystemTime::now() - self.cart_retention()),
                    self.cart_retention().as_secs_f64()
                )
                .execute(&self.pool)
                .await
            }
        };
        Ok(deleted?.rows_affected())
    }

    fn cart_retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.cart_retention_days) * 24 * 3600)
    }
}

#[derive(Clone, Copy)]
enum Table {
    IdempotencyKeys,
    RefreshTokens,
    Sessions,
    SignInFailures,
    Inbox,
    Carts,
}

/// The least UUIDv7 of a moment: 48 bits of milliseconds, then nothing.
fn first_id_of(moment: SystemTime) -> Uuid {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::from_u128(since.as_millis() << 80)
}
