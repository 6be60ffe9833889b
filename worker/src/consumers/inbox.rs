//! Emails are sent once. SMTP can't be asked twice with the same outcome, so an email is claimed before it is sent, and
//! noted when the server has taken it.
//!
//! A claim ends by itself, so that a message whose worker died is sent by another; it is longer than sending takes, so
//! that nobody sends what is being sent. Twice is an email sent only when the server's answer was lost: to a broken
//! connection, to a timeout, or to a worker killed between that answer and the note.

use std::time::Duration;

use sqlx::PgPool;
use storefront::messages::Consumer;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Done, Fault, Tools};

/// Between two attempts to note that an email was sent.
const NOTE_PAUSE: Duration = Duration::from_millis(200);

/// Sends what `send` sends, unless that was done or somebody is doing it. The timeline of `order`, if there is one, says
/// so.
pub(super) async fn once(
    tools: &Tools,
    consumer: Consumer,
    message_id: Uuid,
    order: Option<Uuid>,
    send: impl Future<Output = Result<(), Fault>>,
) -> Result<Done, Fault> {
    let claimed = Instant::now();
    match claim(tools, consumer, message_id).await? {
        Claim::Ours => {}
        Claim::Done => return Ok(Done::Before),
        Claim::Others => return Err(Fault::Busy),
    }
    if let Err(fault) = send.await {
        // Not sent, as far as anyone knows: the next attempt needn't wait for the claim's end. If this fails, it does.
        let _ = give_back(&tools.pool, consumer, message_id).await;
        return Err(fault);
    }
    // Sent. If Postgres is away now, the claim keeps others from sending it again, while this insists on the note.
    loop {
        match note(&tools.pool, consumer, message_id, order).await {
            Ok(()) => return Ok(Done::Now),
            Err(error) if claimed.elapsed() + NOTE_PAUSE > tools.settings.email_claim => {
                tracing::error!(%error, message = %message_id, "an email was sent, and that can't be noted");
                return Err(error.into());
            }
            Err(_) => tokio::time::sleep(NOTE_PAUSE).await,
        }
    }
}

enum Claim {
    Ours,
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
            returning true
        )
        select exists (select from claimed) as "is_ours!",
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
    Ok(match (row.is_ours, row.is_done) {
        (true, _) => Claim::Ours,
        (false, true) => Claim::Done,
        (false, false) => Claim::Others,
    })
}

async fn give_back(pool: &PgPool, consumer: Consumer, message_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from inbox where message_id = $1 and consumer = $2 and done_at is null",
        message_id,
        consumer.as_str()
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// One statement, so that the timeline has it once: it is written by whoever marks the message as done.
async fn note(
    pool: &PgPool,
    consumer: Consumer,
    message_id: Uuid,
    order: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        with done as (
            update inbox
            set done_at = now(), claimed_until = null
            where message_id = $1 and consumer = $2 and done_at is null
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
