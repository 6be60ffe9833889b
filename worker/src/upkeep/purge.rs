//! What has expired is deleted, in batches that hold no lock for long and skip what another worker deletes.
//!
//! Each table is purged by a task of its own: one whose statement fails, or is cut off by the statement timeout, is retried
//! after pauses that grow, and counted, and the others go on. A purge that fails doesn't make the worker unready: it does
//! all else. Each statement has an index that gives what is due (`migrations/indexes/chosen.sql`); a test looks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Upkeep, count};
use crate::metrics;
use crate::parts::{Parts, Stop};

/// Rows that one statement deletes.
const BATCH: i64 = 1000;

/// Statements at a time. Those that wait for a lock leave the pool's other connections to messages.
const AT_ONCE: usize = 2;

/// A table whose purge keeps failing is tried again after this, at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy)]
enum Table {
    IdempotencyKeys,
    RefreshTokens,
    UsedRefreshTokens,
    Sessions,
    SignInFailures,
    Inbox,
    Carts,
    CatalogChanges,
}

impl Table {
    const ALL: [Table; 8] = [
        Table::IdempotencyKeys,
        Table::RefreshTokens,
        Table::UsedRefreshTokens,
        Table::Sessions,
        Table::SignInFailures,
        Table::Inbox,
        Table::Carts,
        Table::CatalogChanges,
    ];

    /// The name under which health and metrics speak of it.
    const fn task(self) -> &'static str {
        match self {
            Table::IdempotencyKeys => "purge idempotency_keys",
            Table::RefreshTokens => "purge refresh_tokens",
            Table::UsedRefreshTokens => "purge used refresh_tokens",
            Table::Sessions => "purge sessions",
            Table::SignInFailures => "purge sign_in_failures",
            Table::Inbox => "purge inbox",
            Table::Carts => "purge carts",
            Table::CatalogChanges => "purge catalog_changes",
        }
    }
}

/// The names of all purges, for metrics.
pub fn tasks() -> impl Iterator<Item = &'static str> {
    Table::ALL.into_iter().map(Table::task)
}

impl Upkeep {
    /// Purges every table until the signal comes.
    pub(super) async fn purge_all(&self, parts: &Parts, stop: &Stop) {
        let at_once = Semaphore::new(AT_ONCE);
        join_all(Table::ALL.map(|table| self.keep_purging(table, &at_once, parts, stop))).await;
    }

    async fn keep_purging(&self, table: Table, at_once: &Semaphore, parts: &Parts, stop: &Stop) {
        let task = table.task();
        let interval = self.settings.purge_interval;
        let mut failed_pause = interval;
        while !stop.is_given() {
            let turn = at_once.acquire().await;
            let purged = self.purge(table).await;
            drop(turn);
            match purged {
                Ok(deleted) => {
                    parts.works(task);
                    count("purged", deleted);
                    failed_pause = interval;
                    if deleted < BATCH.cast_unsigned() {
                        stop.pause(interval).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(task, %error, pause = ?failed_pause, "a purge failed; it is tried again");
                    metrics::task_failed(task);
                    stop.pause(failed_pause).await;
                    failed_pause = (failed_pause * 2).min(LONGEST_PAUSE.max(interval));
                }
            }
        }
    }

    async fn purge(&self, table: Table) -> Result<u64, sqlx::Error> {
        let old = match table {
            // A key stays bound to its order for as long as an answer is kept, not longer.
            Table::IdempotencyKeys => {
                sqlx::query!(
                    "delete from idempotency_keys where (owner, key) in (
                         select owner, key from idempotency_keys where expires_at < now()
                         order by expires_at limit $1 for update skip locked)",
                    BATCH
                )
            }
            Table::RefreshTokens => {
                sqlx::query!(
                    "delete from refresh_tokens where token_hash in (
                         select token_hash from refresh_tokens where expires_at < now()
                         order by expires_at limit $1 for update skip locked)",
                    BATCH
                )
            }
            // Each refresh leaves one. That a token was used is known without its row: see
            // `api/src/sessions/refresh_token_family.rs`.
            Table::UsedRefreshTokens => {
                sqlx::query!(
                    "delete from refresh_tokens where token_hash in (
                         select token_hash from refresh_tokens
                         where used_at < now() - make_interval(secs => $2)
                         order by used_at limit $1 for update skip locked)",
                    BATCH,
                    f64::from(self.settings.used_refresh_token_retention_s)
                )
            }
            Table::Sessions => {
                sqlx::query!(
                    "delete from sessions where id in (
                         select id from sessions where expires_at < now()
                         order by expires_at limit $1 for update skip locked)",
                    BATCH
                )
            }
            Table::SignInFailures => {
                sqlx::query!(
                    "delete from sign_in_failures where counted_under in (
                         select counted_under from sign_in_failures where until < now()
                         order by until limit $1 for update skip locked)",
                    BATCH
                )
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
            }
            Table::Carts => self.old_carts(),
            // Processes read it a few times a second; one that is further behind than this loads everything again.
            Table::CatalogChanges => {
                sqlx::query!(
                    "delete from catalog_changes where ctid = any(array(
                         select ctid from catalog_changes where at < now() - interval '1 hour'
                         order by at limit $1 for update skip locked))",
                    BATCH
                )
            }
        };
        Ok(old.execute(&self.pool).await?.rows_affected())
    }

    /// Bought ones as well. Ids begin with the time at which they were made: the primary key leads to the old ones, of which
    /// few are left. An index by the time of the last change would be written to by each change of each cart.
    fn old_carts(&self) -> Query<'static, Postgres, PgArguments> {
        sqlx::query!(
            "delete from carts where id in (
                 select id from carts
                 where id < $2 and updated_at < now() - make_interval(secs => $3)
                 order by id limit $1 for update skip locked)",
            BATCH,
            first_id_of(SystemTime::now() - self.cart_retention()),
            self.cart_retention().as_secs_f64()
        )
    }

    fn cart_retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.cart_retention_days) * 24 * 3600)
    }
}

/// The least UUIDv7 of a moment: 48 bits of milliseconds, then nothing.
fn first_id_of(moment: SystemTime) -> Uuid {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::from_u128(since.as_millis() << 80)
}
