//! Limits on guessing: failed sign-ins are counted for a while, per email and per client, and registrations with an email
//! that is taken, per client. Which emails and addresses were tried isn't kept, only hashes.
//!
//! An attempt is counted before it is looked at, and taken back when it was none to guess: so a thousand guesses that
//! come at once are a thousand, not the first one a thousand times. One that couldn't be looked at, since the shop is busy
//! or broken, is taken back as well, unless that takes a database connection and there is none; one whose request was given
//! up stays. The price is that somebody else's guesses can lock an email for the rest of a window; a shop that minds asks
//! such a client for a proof of work instead.

use sha2::{Digest, Sha256};
use storefront::email_address::EmailAddress;
use time::{Duration, OffsetDateTime};

use crate::database::Session;
use crate::http::client_address::ClientAddress;
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::settings::AccountSettings;
use crate::state::App;

/// What one attempt is counted under.
pub struct Attempt {
    /// `None` for a registration: it tells whether there is an account, and opens none.
    email: Option<[u8; 32]>,
    client: [u8; 32],
}

impl Attempt {
    /// To sign in with an email, by a client.
    pub fn to_sign_in(email: &EmailAddress, client: ClientAddress) -> Self {
        Self {
            email: Some(Sha256::digest(format!("email:{email}")).into()),
            client: of_client(client),
        }
    }

    /// To register, by a client.
    pub fn to_register(client: ClientAddress) -> Self {
        Self {
            email: None,
            client: of_client(client),
        }
    }

    /// The email first, always: two that wait for each other's rows would wait for ever.
    fn counted_under(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.email.iter().chain([&self.client])
    }

    fn limit(&self, counted_under: &[u8], settings: &AccountSettings) -> u32 {
        match &self.email {
            Some(email) if email == counted_under => settings.sign_in_failures_per_email,
            _ => settings.sign_in_failures_per_client,
        }
    }
}

fn of_client(client: ClientAddress) -> [u8; 32] {
    Sha256::digest(format!("client:{}", client.network())).into()
}

/// Counts an attempt as a failure.
///
/// # Errors
/// [`ApiError::TooManyAttempts`] when there were too many already.
pub async fn begin(
    session: &mut Session<'_>,
    attempt: &Attempt,
    settings: &AccountSettings,
) -> Result<(), ApiError> {
    let now = OffsetDateTime::now_utc();
    let counted_under: Vec<Vec<u8>> = attempt.counted_under().map(|hash| hash.to_vec()).collect();
    let counted = sqlx::query!(
        "insert into sign_in_failures as known (counted_under, failures, until)
         select counted_under, 1, $3 from unnest($1::bytea[]) as attempt (counted_under)
         on conflict (counted_under) do update set
             failures = case when known.until <= $2 then 1 else least(known.failures + 1, 1000000) end,
             until = case when known.until <= $2 then excluded.until else known.until end
         returning counted_under, failures, until",
        &counted_under,
        now,
        now + Duration::seconds(i64::from(settings.sign_in_window_s)),
    )
    .fetch_all(session)
    .await?;
    let exceeded = counted
        .iter()
        .filter(|row| i64::from(row.failures) > i64::from(attempt.limit(&row.counted_under, settings)));
    match exceeded.map(|row| row.until).max() {
        None => Ok(()),
        Some(until) => Err(too_many(until - now)),
    }
}

/// An attempt was none to guess: its email begins anew, its client has one less.
///
/// # Errors
/// When a statement fails.
pub async fn succeeded(session: &mut Session<'_>, attempt: &Attempt) -> Result<(), sqlx::Error> {
    if let Some(email) = &attempt.email {
        sqlx::query!(
            "delete from sign_in_failures where counted_under = $1",
            email.as_slice()
        )
        .execute(&mut *session)
        .await?;
    }
    one_less(session, &attempt.client).await
}

/// Takes an attempt back that ended in an error of the shop's, and gives the error, which is the client's to hear also
/// when this fails: then the attempt stays counted.
pub async fn taken_back(app: &App, timings: &Timings, attempt: &Attempt, error: ApiError) -> ApiError {
    let all_less = async {
        let mut session = app.database.session(timings).await?;
        for counted_under in attempt.counted_under() {
            one_less(&mut session, counted_under).await?;
        }
        Ok::<(), ApiError>(())
    };
    if let Err(error) = all_less.await {
        tracing::warn!(%error, "an attempt that was not looked at stays counted");
    }
    error
}

/// Of several at once each sees what the one before it left: `merge` looks at a row again that it had to wait for.
async fn one_less(session: &mut Session<'_>, counted_under: &[u8; 32]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "merge into sign_in_failures as known
         using (select $1::bytea as counted_under) as attempt on known.counted_under = attempt.counted_under
         when matched and known.failures = 1 then delete
         when matched then update set failures = known.failures - 1",
        counted_under.as_slice()
    )
    .execute(session)
    .await?;
    Ok(())
}

fn too_many(left: Duration) -> ApiError {
    ApiError::TooManyAttempts {
        retry_after_s: u32::try_from(left.whole_seconds() + 1).unwrap_or(1),
    }
}
