//! Deletes expired rows, in batches that hold no lock for long and skip rows that another worker is deleting.
//!
//! Each table has its own task. A task whose statement fails or exceeds the statement timeout is counted and
//! retried with exponential backoff, while the others continue. A failing cleanup doesn't make the worker
//! unready, because everything else works. Each statement finds the due rows by an index
//! (`migrations/indexes/chosen.sql`), which a test checks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{BackgroundTasks, count};
use crate::components::{HealthRegistry, ShutdownToken};
use crate::metrics;

/// Rows deleted by one statement.
const BATCH: i64 = 1000;

/// Concurrent statements. Bounded, so that statements waiting for a lock leave the pool's other connections
/// to messages.
const MAX_CONCURRENT: usize = 2;

/// The longest pause before a failing cleanup is retried.
const MAX_PAUSE: Duration = Duration::from_secs(600);

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

    /// The task's name in the readiness response and in metrics.
    const fn task_name(self) -> &'static str {
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

/// The names of all cleanup tasks, for metrics.
pub fn task_names() -> impl Iterator<Item = &'static str> {
    Table::ALL.into_iter().map(Table::task_name)
}

impl BackgroundTasks {
    /// Deletes expired rows of every table until shutdown.
    pub(super) async fn run_cleanup(&self, health: &HealthRegistry, shutdown: &ShutdownToken) {
        let permits = Semaphore::new(MAX_CONCURRENT);
        join_all(Table::ALL.map(|table| self.clean_up_table(table, &permits, health, shutdown))).await;
    }

    async fn clean_up_table(
        &self,
        table: Table,
        permits: &Semaphore,
        health: &HealthRegistry,
        shutdown: &ShutdownToken,
    ) {
        let task = table.task_name();
        let interval = self.settings.purge_interval;
        let mut retry_pause = interval;
        while !shutdown.is_cancelled() {
            let permit = tokio::select! {
                permit = permits.acquire() => permit,
                () = shutdown.cancelled() => return,
            };
            let result = self.delete_expired(table).await;
            drop(permit);
            match result {
                Ok(deleted) => {
                    health.mark_healthy(task);
                    count("purged", deleted);
                    retry_pause = interval;
                    if deleted < BATCH.cast_unsigned() {
                        shutdown.sleep(interval).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(task, %error, pause = ?retry_pause, "a cleanup task failed and will be retried");
                    metrics::task_failed(task);
                    shutdown.sleep(retry_pause).await;
                    retry_pause = (retry_pause * 2).min(MAX_PAUSE.max(interval));
                }
            }
        }
    }

    async fn delete_expired(&self, table: Table) -> Result<u64, sqlx::Error> {
        let delete = match table {
            // A key stays bound to its order exactly as long as its stored response is kept.
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
            // Each refresh leaves a used token. Reuse is detected without
            // its row: see `api/src/sessions/refresh_token_family.rs`.
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
                    "delete from sign_in_failures where counted_under in (select counted_under
                         from sign_in_failures where until < now()
                         order by until limit $1 for update skip locked)",
                    BATCH
                )
            }
            // Leases of dead workers have no `done_at`. They stay, because their messages are redelivered and
            // take them over.
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
            Table::Carts => self.delete_abandoned_carts(),
            // Processes poll this table a few times a second. A process that is
            // further behind reloads everything.
            Table::CatalogChanges => {
                sqlx::query!(
                    "delete from catalog_changes where ctid = any(array(
                         select ctid from catalog_changes where at < now() - interval '1 hour'
                         order by at limit $1 for update skip locked))",
                    BATCH
                )
            }
        };
        Ok(delete.execute(&self.pool).await?.rows_affected())
    }

    /// Includes carts that were ordered. Ids are UUIDv7, which begin with their creation time, so the primary
    /// key finds the old carts, few of which remain. An index on the time of the last change would be updated
    /// by every change of a cart.
    fn delete_abandoned_carts(&self) -> Query<'static, Postgres, PgArguments> {
        sqlx::query!(
            "delete from carts where id in (
                 select id from carts
                 where id < $2 and updated_at < now() - make_interval(secs => $3)
                 order by id limit $1 for update skip locked)",
            BATCH,
            first_id_at(SystemTime::now() - self.cart_retention()),
            self.cart_retention().as_secs_f64()
        )
    }

    fn cart_retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.cart_retention_days) * 24 * 3600)
    }
}

/// The smallest UUIDv7 of a moment: 48 bits of milliseconds, then zeros.
fn first_id_at(moment: SystemTime) -> Uuid {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::from_u128(since.as_millis() << 80)
}
