//! Shared by the arms that look sessions up: the opaque access token and its row.

use serde_json::value::RawValue;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::{Access, Customer, Role};
use crate::database::InstrumentedConnection;
use crate::opaque_token::{OpaqueToken, TokenHash};

/// A session's row.
pub(super) struct Stored {
    pub(super) customer: Customer,
    pub(super) access_expires_at: OffsetDateTime,
    /// Data that the shop stores with a session. As with every session store it is always read, whether a handler
    /// uses it or not.
    pub(super) data: Box<RawValue>,
}

/// A new token, and the hash for its row.
pub(super) fn access() -> Access {
    let token = OpaqueToken::random();
    Access {
        token: token.text(),
        hash: Some(token.hash()),
    }
}

/// The session of a valid access token.
pub(super) async fn read(
    connection: &mut InstrumentedConnection<'_>,
    hash: &TokenHash,
) -> Result<Option<Stored>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.id, s.customer_id, s.access_expires_at as "access_expires_at!", c.role,
                  s.data as "data: Json<Box<RawValue>>"
           from sessions s join customers c on c.id = s.customer_id
           where s.access_token_hash = $1 and s.revoked_at is null and s.access_expires_at > now()"#,
        hash.as_slice(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Stored {
        customer: Customer {
            id: row.customer_id,
            session_id: row.id,
            role: Role::from_name(&row.role),
        },
        access_expires_at: row.access_expires_at,
        data: row.data.0,
    }))
}
