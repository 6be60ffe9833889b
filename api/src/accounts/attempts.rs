//! Limits on guessing: failed sign-ins are counted for a while, per email and per client. Which emails and addresses
//! were tried isn't kept, only hashes.
//!
//! An attempt is counted before the password is looked at, and taken back when it was right: so a thousand guesses that
//! come at once are a thousand, not the first one a thousand times. The price is that somebody else's guesses can lock
//! an email for the rest of a window; a shop that minds asks such a client for a proof of work instead.

use sha2::{Digest, Sha256};
use storefront::email_address::EmailAddress;
use time::{Duration, OffsetDateTime};

use crate::database::Session;
use crate::http::client_address::ClientAddress;
use crate::http::error::ApiError;
use crate::settings::AccountSettings;

/// What attempts of one sign-in are counted under.
pub struct Counters {
    email: [u8; 32],
    client: [u8; 32],
}

impl Counters {
    /// Those of an email and a client.
    pub fn new(email: &EmailAddress, client: ClientAddress) -> Self {
        Self {
            email: Sha256::digest(format!("email:{email}")).into(),
            client: of_client(client),
        }
    }
}

fn of_client(client: ClientAddress) -> [u8; 32] {
    Sha256::digest(format!("client:{}", client.network())).into()
}

/// Counts an attempt to sign in as a failure.
///
/// # Errors
/// [`ApiError::TooManyAttempts`] when there were too many already.
pub async fn begin(
    session: &mut Session<'_>,
    counters: &Counters,
    settings: &AccountSettings,
) -> Result<(), ApiError> {
    let now = OffsetDateTime::now_utc();
    // The email's row first, always: two that wait for each other's would wait for ever.
    let counted = sqlx::query!(
        r#"insert into sign_in_failures as known (counted_under, failures, until)
           values ($1, 1, $4), ($2, 1, $4)
           on conflict (counted_under) do update set
               failures = case when known.until <= $3 then 1 else least(known.failures + 1, 1000000) end,
               until = case when known.until <= $3 then excluded.until else known.until end
           returning counted_under = $1 as "is_of_email!", failures, until"#,
        counters.email.as_slice(),
        counters.client.as_slice(),
        now,
        now + window(settings),
    )
    .fetch_all(session)
    .await?;
    let limit = |is_of_email| match is_of_email {
        true => settings.sign_in_failures_per_email,
        false => settings.sign_in_failures_per_client,
    };
    let exceeded = counted
        .iter()
        .filter(|row| i64::from(row.failures) > i64::from(limit(row.is_of_email)));
    match exceeded.map(|row| row.until).max() {
        None => Ok(()),
        Some(until) => Err(too_many(until - now)),
    }
}

/// Takes an attempt back that was none to guess: its email begins anew, its client has one less.
///
/// # Errors
/// When a statement fails.
pub async fn succeeded(session: &mut Session<'_>, counters: &Counters) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from sign_in_failures where counted_under = $1",
        counters.email.as_slice()
    )
    .execute(&mut *session)
    .await?;
    sqlx::query!(
        "with less as (
             update sign_in_failures set failures = failures - 1 where counted_under = $1 and failures > 1
         )
         delete from sign_in_failures where counted_under = $1 and failures = 1",
        counters.client.as_slice()
    )
    .execute(session)
    .await?;
    Ok(())
}

/// Whether a client may still try.
///
/// # Errors
/// [`ApiError::TooManyAttempts`] when it may not.
pub async fn check_client(
    session: &mut Session<'_>,
    client: ClientAddress,
    settings: &AccountSettings,
) -> Result<(), ApiError> {
    let (now, counted_under) = (OffsetDateTime::now_utc(), of_client(client));
    let until = sqlx::query_scalar!(
        "select until from sign_in_failures where counted_under = $1 and failures >= $2 and until > $3",
        counted_under.as_slice(),
        i32::try_from(settings.sign_in_failures_per_client).unwrap_or(i32::MAX),
        now,
    )
    .fetch_optional(session)
    .await?;
    match until {
        None => Ok(()),
        Some(until) => Err(too_many(until - now)),
    }
}

/// Counts a failure of a client.
///
/// # Errors
/// When the statement fails.
pub async fn count_client(
    session: &mut Session<'_>,
    client: ClientAddress,
    settings: &AccountSettings,
) -> Result<(), sqlx::Error> {
    let (now, counted_under) = (OffsetDateTime::now_utc(), of_client(client));
    sqlx::query!(
        "insert into sign_in_failures as known (counted_under, failures, until) values ($1, 1, $3)
         on conflict (counted_under) do update set
             failures = case when known.until <= $2 then 1 else least(known.failures + 1, 1000000) end,
             until = case when known.until <= $2 then excluded.until else known.until end",
        counted_under.as_slice(),
        now,
        now + window(settings),
    )
    .execute(session)
    .await?;
    Ok(())
}

fn window(settings: &AccountSettings) -> Duration {
    Duration::seconds(i64::from(settings.sign_in_window_s))
}

fn too_many(left: Duration) -> ApiError {
    ApiError::TooManyAttempts {
        retry_after_s: u32::try_from(left.whole_seconds() + 1).unwrap_or(1),
    }
}
