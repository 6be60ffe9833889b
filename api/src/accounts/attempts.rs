//! Rate limits against brute force: failed sign-ins are counted per email and per client, and registrations with a
//! taken email per client, within a window. Only hashes of emails and addresses are stored.
//!
//! Count the attempt before checking the password and release it on success. Otherwise 1,000 concurrent guesses would
//! all see a counter of zero. An attempt that fails because the shop is overloaded or broken is released too, unless
//! there is no database connection for that; an aborted request stays counted. The trade-off: an attacker's guesses
//! can lock out an email for the rest of a window. A shop that can't accept that requires a proof of work instead.

use sha2::{Digest, Sha256};
use shop::email_address::EmailAddress;
use time::{Duration, OffsetDateTime};

use super::Accounts;
use crate::accounts::client_address::ClientAddress;
use crate::database::InstrumentedConnection;
use crate::settings::AccountSettings;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The keys of one attempt's counters.
pub struct Attempt {
    /// `None` for a registration: it reveals whether an account exists, but opens none.
    email: Option<[u8; 32]>,
    client: [u8; 32],
}

impl Attempt {
    /// A sign-in counts against the email address and against the client.
    pub fn to_sign_in(email: &EmailAddress, client: ClientAddress) -> Self {
        Self {
            email: Some(Sha256::digest(format!("email:{email}")).into()),
            client: client_key(client),
        }
    }

    /// A registration counts against the client only.
    pub fn to_register(client: ClientAddress) -> Self {
        Self {
            email: None,
            client: client_key(client),
        }
    }

    /// Always the email first: one lock order prevents deadlocks between concurrent attempts.
    fn rate_limit_keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.email.iter().chain([&self.client])
    }

    fn limit(&self, key: &[u8], settings: &AccountSettings) -> u32 {
        match &self.email {
            Some(email) if email == key => settings.sign_in_failures_per_email,
            _ => settings.sign_in_failures_per_client,
        }
    }
}

fn client_key(client: ClientAddress) -> [u8; 32] {
    Sha256::digest(format!("client:{}", client.network())).into()
}

/// Counts an attempt as a failure, in advance.
///
/// # Errors
/// [`ApiError::TooManyAttempts`] when the limit is exceeded.
pub async fn count_attempt(
    connection: &mut InstrumentedConnection<'_>,
    attempt: &Attempt,
    settings: &AccountSettings,
) -> Result<(), ApiError> {
    let now = OffsetDateTime::now_utc();
    let keys: Vec<Vec<u8>> = attempt.rate_limit_keys().map(|hash| hash.to_vec()).collect();
    let counted = sqlx::query!(
        "insert into sign_in_failures as known (counted_under, failures, until)
         select counted_under, 1, $3 from unnest($1::bytea[]) as attempt (counted_under)
         on conflict (counted_under) do update set
             failures = case when known.until <= $2 then 1 else least(known.failures + 1, 1000000) end,
             until = case when known.until <= $2 then excluded.until else known.until end
         returning counted_under, failures, until",
        &keys,
        now,
        now + Duration::seconds(i64::from(settings.sign_in_window_s)),
    )
    .fetch_all(connection)
    .await?;
    let exceeded = counted
        .iter()
        .filter(|row| i64::from(row.failures) > i64::from(attempt.limit(&row.counted_under, settings)));
    match exceeded.map(|row| row.until).max() {
        None => Ok(()),
        Some(until) => Err(too_many(until - now)),
    }
}

/// Releases an attempt that succeeded: resets its email's counter and decrements its client's.
///
/// # Errors
/// When a statement fails.
pub async fn record_success(
    connection: &mut InstrumentedConnection<'_>,
    attempt: &Attempt,
) -> Result<(), sqlx::Error> {
    if let Some(email) = &attempt.email {
        sqlx::query!(
            "delete from sign_in_failures where counted_under = $1",
            email.as_slice()
        )
        .execute(&mut *connection)
        .await?;
    }
    decrement(connection, &attempt.client).await
}

/// Releases an attempt that failed because of the shop, and returns its error for the client. If that fails too, the
/// attempt stays counted.
pub async fn release_attempt(
    accounts: &Accounts,
    timings: &Timings,
    attempt: &Attempt,
    error: ApiError,
) -> ApiError {
    let release_all = async {
        let mut connection = accounts.database.acquire(timings).await?;
        for key in attempt.rate_limit_keys() {
            decrement(&mut connection, key).await?;
        }
        Ok::<(), ApiError>(())
    };
    if let Err(error) = release_all.await {
        tracing::warn!(%error, "could not release a rate-limited attempt; it stays counted");
    }
    error
}

/// Safe under concurrency, because `merge` re-evaluates a row after it waited for its lock.
async fn decrement(connection: &mut InstrumentedConnection<'_>, key: &[u8; 32]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "merge into sign_in_failures as known
         using (select $1::bytea as counted_under) as attempt on known.counted_under = attempt.counted_under
         when matched and known.failures = 1 then delete
         when matched then update set failures = known.failures - 1",
        key.as_slice()
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn too_many(remaining: Duration) -> ApiError {
    ApiError::TooManyAttempts {
        retry_after_s: u32::try_from(remaining.whole_seconds() + 1).unwrap_or(1),
    }
}
