//! The inbox: messages that are done, each recorded in the transaction of its work ([`record`]).
//!
//! Sending each email once takes more. SMTP isn't idempotent, so a worker takes a lease on an email before
//! sending it, and marks it as sent when the server has accepted it. Both statements are batched
//! (`crate::batch`).
//!
//! A lease expires, so that another worker sends the email if this one dies. It lasts longer than sending may
//! take, so that no two workers send concurrently. A sent email is marked however long Postgres is
//! unavailable, while the message stays unacknowledged and isn't delivered elsewhere. An email is sent twice
//! only in these cases: the server's response was lost to a broken connection or a timeout; the worker died
//! between that response and the mark; or Postgres was unavailable for longer than a lease while the broker
//! redelivered the message, as it does after a lost connection.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use platform::postgres::InstrumentedPool;
use shop::emails::Email;
use shop::messages::Consumer;
use sqlx::types::time::OffsetDateTime;
use sqlx::{Executor, Postgres};
use tokio::time::Instant;
use uuid::Uuid;

use super::{ConsumerContext, HandlerError, HandlerOutcome};
use crate::batch::{Batcher, StatementError};

/// Between two attempts to mark an email as sent.
const MARK_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Records a message as done. Returns `false` if it was recorded before: then its work is done as well.
pub(super) async fn record<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    consumer: Consumer,
    message_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let insert = sqlx::query!(
        "insert into inbox (message_id, consumer) values ($1, $2) on conflict do nothing",
        message_id,
        consumer.as_str()
    );
    Ok(insert.execute(executor).await?.rows_affected() > 0)
}

/// An email and its recipient.
pub(super) struct OutgoingEmail {
    pub(super) to: String,
    /// See [`shop::third_parties::mail::Mailer::send`].
    pub(super) cause: String,
    pub(super) email: Email,
}

/// The batched statements of the inbox. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EmailInbox {
    pool: InstrumentedPool,
    leases: Batcher<(Uuid, Consumer), Lease>,
    /// Returns `false` when the order is locked, so that nothing was written.
    marks: Batcher<DoneMark, bool>,
}

/// Marks a message as done.
#[derive(Debug, Clone, Copy)]
struct DoneMark {
    message_id: Uuid,
    consumer: Consumer,
    /// The order whose timeline records `confirmation_sent`.
    order: Option<Uuid>,
}

impl EmailInbox {
    /// Up to `max_batch` messages share a statement.
    pub fn new(pool: &InstrumentedPool, max_batch: usize, lease_duration: Duration) -> Self {
        let lease_pool = pool.clone();
        let mark_pool = pool.clone();
        Self {
            pool: pool.clone(),
            leases: Batcher::new(max_batch, move |batch: Arc<[(Uuid, Consumer)]>| {
                let pool = lease_pool.clone();
                async move { acquire_leases(&pool, &batch, lease_duration).await }
            }),
            marks: Batcher::new(max_batch, move |batch: Arc<[DoneMark]>| {
                let pool = mark_pool.clone();
                async move { mark_done(&pool, &batch).await }
            }),
        }
    }

    /// Retries while Postgres is unavailable or the order is locked, until the mark is written or the process
    /// ends. Giving up would send the email again with the next delivery.
    async fn mark_sent_with_retry(&self, sent: DoneMark) -> Result<(), StatementError> {
        let mut is_logged = false;
        loop {
            let why = match self.marks.call(sent).await {
                Ok(true) => return Ok(()),
                Ok(false) => "its order is locked".to_owned(),
                Err(error) if error.is_retryable => error.to_string(),
                Err(error) => return Err(error),
            };
            if !is_logged {
                tracing::error!(why, message = %sent.message_id, "an email was sent but can't be marked as sent yet; retrying");
                is_logged = true;
            }
            tokio::time::sleep(MARK_RETRY_PAUSE).await;
        }
    }
}

/// Sends the email that `compose` returns, unless it was sent or another worker is sending it, and records it
/// in the timeline of `order`. If `compose` returns `None`, the message is marked as done without an email.
pub(super) async fn send_once(
    context: &ConsumerContext,
    consumer: Consumer,
    message_id: Uuid,
    order: Option<Uuid>,
    compose: impl Future<Output = Result<Option<OutgoingEmail>, HandlerError>>,
) -> Result<HandlerOutcome, HandlerError> {
    // Taken before the lease starts, so that the time left is never overestimated.
    let started = Instant::now();
    let leased_until = match context.emails.leases.call((message_id, consumer)).await? {
        Lease::Acquired(until) => until,
        Lease::Done => return Ok(HandlerOutcome::AlreadyDone),
        Lease::HeldElsewhere => return Err(HandlerError::Busy),
    };
    let mark = DoneMark {
        message_id,
        consumer,
        order: None,
    };
    match send(context, started, compose).await {
        Ok(SendOutcome::Sent) => {
            context
                .emails
                .mark_sent_with_retry(DoneMark { order, ..mark })
                .await
                .map_err(|error| {
                    HandlerError::Permanent(format!(
                        "the email was sent but can't be marked as sent: {error}"
                    ))
                })?;
            Ok(HandlerOutcome::Done)
        }
        Ok(SendOutcome::NotNeeded) => {
            context.emails.marks.call(mark).await?;
            Ok(HandlerOutcome::AlreadyDone)
        }
        Err(error) => {
            // Probably not sent. Releasing the lease lets the next attempt start early; if it fails, the
            // lease expires.
            let _ = release_lease(&context.emails.pool, consumer, message_id, leased_until).await;
            Err(error)
        }
    }
}

enum SendOutcome {
    Sent,
    NotNeeded,
}

async fn send(
    context: &ConsumerContext,
    started: Instant,
    compose: impl Future<Output = Result<Option<OutgoingEmail>, HandlerError>>,
) -> Result<SendOutcome, HandlerError> {
    let Some(email) = compose.await? else {
        return Ok(SendOutcome::NotNeeded);
    };
    if started.elapsed() + context.mailer.timeout() > context.settings.email_claim {
        return Err(HandlerError::Retryable(
            "Postgres was too slow: the lease could expire before the email is sent".to_owned(),
        ));
    }
    context.mailer.send(&email.to, &email.cause, &email.email).await?;
    Ok(SendOutcome::Sent)
}

#[derive(Debug, Clone, Copy)]
enum Lease {
    /// Its expiry identifies the lease. A worker can take it over only after that, with a later expiry.
    Acquired(OffsetDateTime),
    Done,
    HeldElsewhere,
}

/// Inserts in the order of the messages' ids, so that two workers with the same messages don't deadlock.
async fn acquire_leases(
    pool: &InstrumentedPool,
    batch: &[(Uuid, Consumer)],
    lease_duration: Duration,
) -> Result<Vec<Lease>, sqlx::Error> {
    let mut requested = batch.to_vec();
    requested.sort_unstable();
    // The broker may redeliver a message while its first delivery is in this batch.
    requested.dedup();
    let (ids, consumers): (Vec<Uuid>, Vec<String>) = requested
        .iter()
        .map(|(id, consumer)| (*id, consumer.as_str().to_owned()))
        .unzip();
    let rows = sqlx::query!(
        r#"
        with asked as (
            select * from unnest($1::uuid[], $2::text[]) as asked (message_id, consumer)
        ), claimed as (
            insert into inbox (message_id, consumer, done_at, claimed_until)
            select message_id, consumer, null, clock_timestamp() + make_interval(secs => $3) from asked
            on conflict (message_id, consumer) do update
            set claimed_until = excluded.claimed_until
            where inbox.done_at is null and inbox.claimed_until < clock_timestamp()
            returning message_id, consumer, claimed_until
        )
        select asked.message_id as "message_id!", asked.consumer as "consumer!", claimed.claimed_until as "claimed_until?",
               -- Not `exists`, which the planner may answer with a hash of the whole table while that is small.
               (select inbox.done_at from inbox
                where inbox.message_id = asked.message_id and inbox.consumer = asked.consumer) is not null as "is_done!"
        from asked
        left join claimed on claimed.message_id = asked.message_id and claimed.consumer = asked.consumer
        "#,
        &ids,
        &consumers,
        lease_duration.as_secs_f64()
    )
    .fetch_all(pool)
    .await?;
    let mut leases: HashMap<(Uuid, String), Lease> = HashMap::with_capacity(rows.len());
    for row in rows {
        let lease = match (row.claimed_until, row.is_done) {
            (Some(until), _) => Lease::Acquired(until),
            (None, true) => Lease::Done,
            (None, false) => Lease::HeldElsewhere,
        };
        leases.insert((row.message_id, row.consumer), lease);
    }
    // Of duplicates in the batch, the first gets the lease.
    Ok(batch
        .iter()
        .map(|(id, consumer)| {
            let lease = leases.get_mut(&(*id, consumer.as_str().to_owned()));
            lease.map_or(Lease::HeldElsewhere, |lease| match lease {
                Lease::Acquired(_) => std::mem::replace(lease, Lease::HeldElsewhere),
                Lease::Done | Lease::HeldElsewhere => *lease,
            })
        })
        .collect())
}

/// Releases only this lease, because after its expiry the row may hold another worker's.
async fn release_lease(
    pool: &InstrumentedPool,
    consumer: Consumer,
    message_id: Uuid,
    leased_until: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from inbox where message_id = $1 and consumer = $2 and done_at is null and claimed_until = $3",
        message_id,
        consumer.as_str(),
        leased_until
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Marks messages as done, in one statement with the timeline, so that the timeline records an email once.
/// The mark applies no matter which worker holds the lease now, or whether it was released, so that no other
/// worker starts. An order that is locked is skipped, so that the others don't wait for it.
async fn mark_done(pool: &InstrumentedPool, batch: &[DoneMark]) -> Result<Vec<bool>, sqlx::Error> {
    let mut marks = batch.to_vec();
    marks.sort_unstable_by_key(|mark| (mark.message_id, mark.consumer));
    marks.dedup_by_key(|mark| (mark.message_id, mark.consumer));
    let ids: Vec<Uuid> = marks.iter().map(|mark| mark.message_id).collect();
    let consumers: Vec<String> = marks
        .iter()
        .map(|mark| mark.consumer.as_str().to_owned())
        .collect();
    let orders: Vec<Option<Uuid>> = marks.iter().map(|mark| mark.order).collect();
    let events: Vec<Uuid> = marks.iter().map(|_| Uuid::now_v7()).collect();
    let marked = sqlx::query!(
        r#"
        with free as materialized (
            -- The lock that a row of its timeline takes.
            select id from orders where id = any($3) order by id for key share skip locked
        ), asked as (
            select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[])
                as asked (message_id, consumer, order_id, event_id)
            where order_id is null or order_id in (select id from free)
        ), done as (
            insert into inbox (message_id, consumer, done_at)
            select message_id, consumer, now() from asked
            on conflict (message_id, consumer) do update
            set done_at = excluded.done_at, claimed_until = null
            where inbox.done_at is null
            returning message_id, consumer
        ), told as (
            insert into order_events (order_id, id, event)
            select asked.order_id, asked.event_id, 'confirmation_sent'
            from done
            join asked on asked.message_id = done.message_id and asked.consumer = done.consumer
            where asked.order_id is not null
        )
        select message_id as "message_id!", consumer as "consumer!" from asked
        "#,
        &ids,
        &consumers,
        &orders as &[Option<Uuid>],
        &events
    )
    .fetch_all(pool)
    .await?;
    let marked: HashSet<(Uuid, String)> = marked
        .into_iter()
        .map(|row| (row.message_id, row.consumer))
        .collect();
    Ok(batch
        .iter()
        .map(|mark| marked.contains(&(mark.message_id, mark.consumer.as_str().to_owned())))
        .collect())
}
