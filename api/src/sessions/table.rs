//! **Technique**: an opaque token, looked up in the table `sessions` by each request.
//! **Cost**: one statement, its round trip and a connection per request; it grows with the size of a session's data.
//! A sign-out takes effect at once, and so does a change of role.
//! **Fails when**: the database is far away or busy: every request of every customer waits for it first.
//! **Source**: OWASP, Session Management Cheat Sheet,
//! <https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html>

use super::Customer;
use super::stored;
use crate::database::Database;
use crate::opaque_token::OpaqueToken;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The arm `sessions=table`.
pub struct Table;

impl Table {
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
}
