//! Emails are sent once. SMTP can't be asked twice with the same outcome, so an email is claimed before it is sent (a
//! lease), and noted when the server has taken it. Both are statements for many messages at once (`crate::batch`).
//!
//! A claim ends by itself, so that a message whose worker died is sent by another; it outlasts the sending, so that nobody
//! sends what is being sent. What was sent is noted however long Postgres is away, with the message unacknowledged, so that
//! nobody else gets it. Twice is an email sent only when the server's answer was lost, to a broken connection or to a
//! timeout; when its worker ended between that answer and the note; or when Postgres was away for longer than a claim and
//! the broker took the message back meanwhile, as it does when it is cut off.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::types::time::OffsetDateTime;
use storefront::emails::Email;
use storefront::messages::Consumer;
use storefront::postgres::MeasuredPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Done, Fault, Tools};
use crate::batch::{Batcher, StatementError};

/// Between two attempts to note that an email was sent.
const NOTE_PAUSE: Duration = Duration::from_millis(200);

/// What is sent.
pub(super) struct Mail {
    pub(super) to: String,
    /// See [`storefront::third_parties::mail::Mailer::send`].
    pub(super) cause: String,
    pub(super) email: Email,
}

/// The statements of emails. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Emails {
    pool: MeasuredPool,
    claims: Batcher<(Uuid, Consumer), Claim>,
    /// Whether it was noted: not while another has locked the order.
    notes: Batcher<Note, bool>,
}

/// That an email is done with.
#[derive(Debug, Clone, Copy)]
struct Note {
    message_id: Uuid,
    consumer: Consumer,
    /// Whose timeline says so.
    order: Option<Uuid>,
}

impl Emails {
    /// `most` messages share a statement; the worker that claims one has `lasts` to send it.
    pub fn new(pool: &MeasuredPool, most: usize, lasts: Duration) -> Self {
        let of_claims = pool.clone();
        let of_notes = pool.clone();
        Self {
            pool: pool.clone(),
            claims: Batcher::new(most, move |batch: Arc<[(Uuid, Consumer)]>| {
                let pool = of_claims.clone();
                async move { claim(&pool, &batch, lasts).await }
            }),
            notes: Batcher::new(most, move |batch: Arc<[Note]>| {
                let pool = of_notes.clone();
                async move { note(&pool, &batch).await }
            }),
        }
    }

    /// While Postgres is away or the order is locked, until it is noted or the process ends: giving up would send the email
    /// again with the next delivery.
    async fn insist_on_note(&self, sent: Note) -> Result<(), StatementError> {
        let mut is_told = false;
        loop {
            let why = match self.notes.call(sent).await {
                Ok(true) => return Ok(()),
                Ok(false) => "its order is locked".to_owned(),
                Err(error) if error.may_pass => error.to_string(),
                Err(error) => return Err(error),
            };
            if !is_told {
                tracing::error!(why, message = %sent.message_id, "an email was sent, and that can't be noted yet");
                is_told = true;
            }
            tokio::time::sleep(NOTE_PAUSE).await;
        }
    }
}

/// Sends what `write` writes, unless that was done or somebody is doing it. The timeline of `order`, if there is one, says
/// so. Where nothing is written, there is nothing to do any more.
pub(super) async fn once(
    tools: &Tools,
    consumer: Consumer,
    message_id: Uuid,
    order: Option<Uuid>,
    write: impl Future<Output = Result<Option<Mail>, Fault>>,
) -> Result<Done, Fault> {
    // Earlier than the claim begins, so that what is left of it here is no more than what is left in Postgres.
    let begun = Instant::now();
    let claim = match tools.emails.claims.call((message_id, consumer)).await? {
        Claim::Ours(claim) => claim,
        Claim::Done => return Ok(Done::Before),
        Claim::Others => return Err(Fault::Busy),
    };
    let note = Note {
        message_id,
        consumer,
        order: None,
    };
    match send(tools, begun, write).await {
        Ok(Sent::Now) => {
            tools
                .emails
                .insist_on_note(Note { order, ..note })
                .await
                .map_err(|error| Fault::Never(format!("it was sent, and that can't be noted: {error}")))?;
            Ok(Done::Now)
        }
        Ok(Sent::Needless) => {
            tools.emails.notes.call(note).await?;
            Ok(Done::Before)
        }
        Err(fault) => {
            // Not sent, as far as anyone knows: the next attempt needn't wait for the claim's end. If this fails, it does.
            let _ = give_back(&tools.emails.pool, consumer, message_id, claim).await;
            Err(fault)
        }
    }
}

enum Sent {
    Now,
    Needless,
}

async fn send(
    tools: &Tools,
    begun: Instant,
    write: impl Future<Output = Result<Option<Mail>, Fault>>,
) -> Result<Sent, Fault> {
    let Some(mail) = write.await? else {
        return Ok(Sent::Needless);
    };
    if begun.elapsed() + tools.mailer.timeout() > tools.settings.email_claim {
        return Err(Fault::Later(
            "Postgres took so long that the claim could end before the email is sent".to_owned(),
        ));
    }
    tools.mailer.send(&mail.to, &mail.cause, &mail.email).await?;
    Ok(Sent::Now)
}

#[derive(Debug, Clone, Copy)]
enum Claim {
    /// By its end it is known: whoever takes it over does so after that, and has a later one.
    Ours(OffsetDateTime),
    Done,
    Others,
}

/// In the order of the messages' ids, so that two workers with the same messages don't wait for each other.
async fn claim(
    pool: &MeasuredPool,
    batch: &[(Uuid, Consumer)],
    lasts: Duration,
) -> Result<Vec<Claim>, sqlx::Error> {
    let mut asked = batch.to_vec();
    asked.sort_unstable();
    // The broker may deliver a message again while its first delivery is in this batch.
    asked.dedup();
    let (ids, consumers): (Vec<Uuid>, Vec<String>) = asked
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
               exists (
                   select from inbox
                   where inbox.message_id = asked.message_id and inbox.consumer = asked.consumer and inbox.done_at is not null
               ) as "is_done!"
        from asked
        left join claimed on claimed.message_id = asked.message_id and claimed.consumer = asked.consumer
        "#,
        &ids,
        &consumers,
        lasts.as_secs_f64()
    )
    .fetch_all(pool)
    .await?;
    let mut claims: HashMap<(Uuid, String), Claim> = HashMap::with_capacity(rows.len());
    for row in rows {
        let claim = match (row.claimed_until, row.is_done) {
            (Some(claim), _) => Claim::Ours(claim),
            (None, true) => Claim::Done,
            (None, false) => Claim::Others,
        };
        claims.insert((row.message_id, row.consumer), claim);
    }
    // Of twins, the first has the claim.
    Ok(batch
        .iter()
        .map(|(id, consumer)| {
            let claim = claims.get_mut(&(*id, consumer.as_str().to_owned()));
            claim.map_or(Claim::Others, |claim| match claim {
                Claim::Ours(_) => std::mem::replace(claim, Claim::Others),
                Claim::Done | Claim::Others => *claim,
            })
        })
        .collect())
}

/// Only this claim: after its end the row may hold another's.
async fn give_back(
    pool: &MeasuredPool,
    consumer: Consumer,
    message_id: Uuid,
    claim: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from inbox where message_id = $1 and consumer = $2 and done_at is null and claimed_until = $3",
        message_id,
        consumer.as_str(),
        claim
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// One statement, so that the timeline has it once: it is written by whoever marks the message as done. Done is done,
/// whoever holds the claim by now, and whether or not it was given back: so nobody else begins. An order that is locked is
/// left out, so that the others don't wait for it.
async fn note(pool: &MeasuredPool, batch: &[Note]) -> Result<Vec<bool>, sqlx::Error> {
    let mut asked = batch.to_vec();
    asked.sort_unstable_by_key(|note| (note.message_id, note.consumer));
    asked.dedup_by_key(|note| (note.message_id, note.consumer));
    let ids: Vec<Uuid> = asked.iter().map(|note| note.message_id).collect();
    let consumers: Vec<String> = asked
        .iter()
        .map(|note| note.consumer.as_str().to_owned())
        .collect();
    let orders: Vec<Option<Uuid>> = asked.iter().map(|note| note.order).collect();
    let events: Vec<Uuid> = asked.iter().map(|_| Uuid::now_v7()).collect();
    let noted = sqlx::query!(
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
    let noted: HashSet<(Uuid, String)> = noted
        .into_iter()
        .map(|row| (row.message_id, row.consumer))
        .collect();
    Ok(batch
        .iter()
        .map(|note| noted.contains(&(note.message_id, note.consumer.as_str().to_owned())))
        .collect())
}
