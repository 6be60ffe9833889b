//! What the arms share that look a session up: an opaque access token, and the row that it stands for.

use serde_json::value::RawValue;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::{Access, Customer, Role};
use crate::database::Session;
use crate::opaque_token::{OpaqueToken, TokenHash};

/// A session as its row has it.
pub(super) struct Stored {
    pub(super) customer: Customer,
    pub(super) access_expires_at: OffsetDateTime,
    /// What the shop keeps with it. It comes along, as with every session store, whether a handler looks at it or not.
    pub(super) data: Box<RawValue>,
}

/// A new token; its row gets the hash.
pub(super) fn access() -> Access {
    let token = OpaqueToken::random();
    Access {
        token: token.text(),
        hash: Some(token.hash()),
    }
}

/// The session of an access token that is good.
pub(super) async fn read(session: &mut Session<'_>, hash: &TokenHash) -> Result<Option<Stored>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.id, s.customer_id, s.access_expires_at as "access_expires_at!", c.role,
                  s.data as "data: Json<Box<RawValue>>"
           from sessions s join customers c on c.id = s.customer_id
           where s.access_token_hash = $1 and s.revoked_at is null and s.access_expires_at > now()"#,
        hash.as_slice(),
    )
    .fetch_optional(session)
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
