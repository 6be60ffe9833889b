//! Refresh-token families: a sign-in is one row of `sessions`, with a chain of single-use refresh tokens of which
//! only the last is unused.
//!
//! The worker purges used tokens early, so that a client that refreshes continuously fills no table. Reuse is still
//! detected: a token names its family, and one that isn't the family's unused token was used before (or was forged by
//! someone who knows the family's id, which only its tokens contain).

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Customer, Role};
use crate::database::InstrumentedConnection;
use crate::opaque_token::TokenHash;

/// Inserts a new family with its first refresh token.
pub(super) async fn insert(
    connection: &mut InstrumentedConnection<'_>,
    customer: &Customer,
    token: &TokenHash,
    lifetime: Duration,
) -> Result<(), sqlx::Error> {
    let now = OffsetDateTime::now_utc();
    sqlx::query!(
        "with session as (
             insert into sessions (id, customer_id, created_at, expires_at) values ($1, $2, $3, $4)
         )
         insert into refresh_tokens (token_hash, session_id, created_at, expires_at) values ($5, $1, $3, $4)",
        customer.session_id,
        customer.id,
        now,
        now + lifetime,
        token.as_slice(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Rotates a refresh token: marks it used and inserts its successor. `None` when it is unknown, used, expired or
/// revoked.
///
/// One statement: of two concurrent requests with the same token, the second waits for the first's row lock, finds
/// the token used, and changes nothing.
pub(super) async fn rotate(
    connection: &mut InstrumentedConnection<'_>,
    used: &TokenHash,
    next: &TokenHash,
    lifetime: Duration,
) -> Result<Option<Customer>, sqlx::Error> {
    let now = OffsetDateTime::now_utc();
    let row = sqlx::query!(
        "with used as (
             update refresh_tokens set used_at = $2
             where token_hash = $1 and used_at is null and expires_at > $2
             returning session_id
         ), family as (
             update sessions s set expires_at = $3
             from used
             where s.id = used.session_id and s.revoked_at is null
             returning s.id, s.customer_id
         ), next as (
             insert into refresh_tokens (token_hash, session_id, created_at, expires_at)
             select $4, id, $2, $3 from family
         )
         select family.id, family.customer_id, c.role
         from family join customers c on c.id = family.customer_id",
        used.as_slice(),
        now,
        now + lifetime,
        next.as_slice(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Customer {
        id: row.customer_id,
        session_id: row.id,
        role: Role::from_name(&row.role),
    }))
}

/// Revokes the family of a reused refresh token, and returns its id. `None` when there is none to revoke: a token that merely
/// expired revokes nothing. `named` is the family that the token names; the token's own row takes precedence.
pub(super) async fn revoke_if_used(
    connection: &mut InstrumentedConnection<'_>,
    token: &TokenHash,
    named: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "update sessions s set revoked_at = now()
         where s.id = coalesce(
                   (select r.session_id from refresh_tokens r where r.token_hash = $1 and r.used_at is not null), $2)
           and s.revoked_at is null
           and not exists (select from refresh_tokens r where r.token_hash = $1 and r.used_at is null)
         returning s.id",
        token.as_slice(),
        named,
    )
    .fetch_optional(connection)
    .await
}

/// Revokes a family.
pub(super) async fn revoke(connection: &mut InstrumentedConnection<'_>, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sessions set revoked_at = now() where id = $1 and revoked_at is null",
        id
    )
    .execute(connection)
    .await?;
    Ok(())
}
