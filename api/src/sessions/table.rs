//! **Technique**: an opaque token, looked up in the table `sessions` by each request.
//! **Cost**: one statement, its round trip and a connection per request; it grows with the size of a session's data.
//! A sign-out takes effect at once, and so does a change of role.
//! **Fails when**: the database is far away or busy: every request of every customer waits for it first.
//! **Source**: OWASP, Session Management Cheat Sheet,
//! <https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html>

use std::time::Duration;

use platform::keyring::Keyring;
use platform::redis::Redis;
use uuid::Uuid;

use super::{Access, Customer, refresh_token_family, stored};
use crate::database::{Database, InstrumentedConnection};
use crate::opaque_token::OpaqueToken;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The arm `sessions=table`.
pub struct Table;

impl Table {
    pub(super) fn new(_keyring: &Keyring, _redis: &Redis) -> Self {
        Self
    }

    pub(super) async fn authenticate(
        &self,
        database: &Database,
        timings: &Timings,
        token: &str,
    ) -> Result<Option<Customer>, ApiError> {
        let Some(token) = OpaqueToken::parse(token) else {
            return Ok(None);
        };
        let mut connection = database.acquire(timings).await?;
        let stored = stored::read(&mut connection, &token.hash()).await?;
        Ok(stored.map(|stored| stored.customer))
    }

    pub(super) fn issue(&self, _customer: &Customer, _lifetime: Duration) -> Access {
        stored::access()
    }

    pub(super) fn issue_opaque(&self) -> Option<Access> {
        Some(stored::access())
    }

    pub(super) async fn revoke(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        session: Uuid,
    ) -> Result<(), ApiError> {
        refresh_token_family::revoke(connection, session).await?;
        Ok(())
    }

    #[expect(clippy::unused_async, reason = "others have a second store")]
    pub(super) async fn forget(&self, _access_hash: Option<&[u8]>) -> Result<(), ApiError> {
        Ok(())
    }
}
