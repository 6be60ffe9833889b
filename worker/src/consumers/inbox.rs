//! Emails are sent once. SMTP can't be asked twice with the same outcome, so an email is claimed before it is sent, and
//! noted when the server has taken it.
//!
//! A claim ends by itself, so that a message whose worker died is sent by another; it outlasts the sending, so that nobody
//! sends what is being sent. What was sent is noted however long Postgres is away, with the message unacknowledged, so that
//! nobody else gets it. Twice is an email sent only when the server's answer was lost, to a broken connection or to a
//! timeout; when its worker ended between that answer and the note; or when Postgres was away for longer than a claim and
//! the broker took the message back meanwhile, as it does when it is cut off.

use std::time::Duration;

use sqlx::types::time::OffsetDateTime;
use storefront::emails::Email;
use storefront::messages::Consumer;
use storefront::postgres::MeasuredPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Done, Fault, Tools};

/// Between two attempts to note that an email was sent.
const NOTE_PAUSE: Duration = Duration::from_millis(200);

/// What is sent.
pub(super) struct Mail {
    pub(super) to: String,
    /// See [`storefront::third_parties::mail::Mailer::send`].
    pub(super) cause: String,
    pub(super) email: Email,
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
    let claim = match claim(tools, consumer, message_id).await? {
        Claim::Ours(claim) => claim,
        Claim::Done => return Ok(Done::Before),
        Claim::Others => return Err(Fault::Busy),
    };
    match send(tools, begun, write).await {
        Ok(Sent::Now) => {
            insist_on_note(&tools.pool, consumer, message_id, order)
                .await
                .map_err(|error| Fault::Never(format!("it was sent, and that can't be noted: {error}")))?;
            Ok(Done::Now)
        }
        Ok(Sent::Needless) => {
            note(&tools.pool, consumer, message_id, None).await?;
            Ok(Done::Before)
        }
        Err(fault) => {
            // Not sent, as far as anyone knows: the next attempt needn't wait for the claim's end. If this fails, it does.
            let _ = give_back(&tools.pool, consumer, message_id, claim).await;
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

/// While Postgres is away, until it is noted or the process ends: giving up would send the email again with the next
/// delivery.
async fn insist_on_note(
    pool: &MeasuredPool,
    consumer: Consumer,
    message_id: Uuid,
    order: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    let mut is_told = false;
    while let Err(error) = note(pool, consumer, message_id, order).await {
        if !is_away(&error) {
            return Err(error);
        }
        if !is_told {
            tracing::error!(%error, message = %message_id, "an email was sent, and that can't be noted yet");
            is_told = true;
        }
        tokio::time::sleep(NOTE_PAUSE).await;
    }
    Ok(())
}

/// Whether the fault is of the way to Postgres, or of one that starts, ends or is full, and passes.
fn is_away(error: &sqlx::Error) -> bool {
    match error.as_database_error() {
        // Classes of https://www.postgresql.org/docs/current/errcodes-appendix.html: connection, rollback, resources,
        // operator intervention, system.
        Some(fault) => fault.code().is_some_and(|code| {
            ["08", "40", "53", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        None => true,
    }
}

enum Claim {
    /// By its end it is known: whoever takes it over does so after that, and has a later one.
    Ours(OffsetDateTime),
    Done,
    Others,
}

async fn claim(tools: &Tools, consumer: Consumer, message_id: Uuid) -> Result<Claim, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with claimed as (
            insert into inbox (message_id, consumer, done_at, claimed_until)
            values ($1, $2, null, clock_timestamp() + make_interval(secs => $3))
            on conflict (message_id, consumer) do update
            set claimed_until = excluded.claimed_until
            where inbox.done_at is null and inbox.claimed_until < clock_timestamp()
            returning claimed_until
        )
        select (select claimed_until from claimed) as claim,
               exists (
                   select from inbox where message_id = $1 and consumer = $2 and done_at is not null
               ) as "is_done!"
        "#,
        message_id,
        consumer.as_str(),
        tools.settings.email_claim.as_secs_f64()
    )
    .fetch_one(&tools.pool)
    .await?;
    Ok(match (row.claim, row.is_done) {
        (Some(claim), _) => Claim::Ours(claim),
        (None, true) => Claim::Done,
        (None, false) => Claim::Others,
    })
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
/// whoever holds the claim by now, and whether or not it was given back: so nobody else begins.
async fn note(
    pool: &MeasuredPool,
    consumer: Consumer,
    message_id: Uuid,
    order: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        with done as (
            insert into inbox (message_id, consumer, done_at) values ($1, $2, now())
            on conflict (message_id, consumer) do update
            set done_at = excluded.done_at, claimed_until = null
            where inbox.done_at is null
            returning true
        )
        insert into order_events (order_id, id, event)
        select $3::uuid, $4, 'confirmation_sent' from done where $3 is not null
        ",
        message_id,
        consumer.as_str(),
        order,
        Uuid::now_v7()
    )
    .execute(pool)
    .await?;
    Ok(())
}
