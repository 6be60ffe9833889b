//! Refresh-token families: a sign-in is one row of `sessions`, with a chain of single-use refresh tokens of which
//! only the last is unused. All arms store them alike.
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

/// Token lifetimes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetimes {
    pub(super) access: Duration,
    pub(super) refresh: Duration,
}

/// The result of a refresh.
pub(super) struct Rotated {
    pub(super) customer: Customer,
    pub(super) old_access_hash: Option<Vec<u8>>,
}

/// A revoked family.
pub(super) struct Revoked {
    pub(super) session_id: Uuid,
    pub(super) access_hash: Option<Vec<u8>>,
}

/// Inserts a new family with its first refresh token.
pub(super) async fn insert(
    connection: &mut InstrumentedConnection<'_>,
    customer: &Customer,
    access_hash: Option<&TokenHash>,
    refresh_hash: &TokenHash,
    lifetimes: Lifetimes,
) -> Result<(), sqlx::Error> {
    let (now, access) = (OffsetDateTime::now_utc(), access_hash.map(TokenHash::as_slice));
    let access_expires_at = access.map(|_| now + lifetimes.access);
    sqlx::query!(
        "with session as (
             insert into sessions (id, customer_id, created_at, expires_at, access_token_hash, access_expires_at)
             values ($1, $2, $3, $4, $5, $6)
         )
         insert into refresh_tokens (token_hash, session_id, created_at, expires_at) values ($7, $1, $3, $4)",
        customer.session_id,
        customer.id,
        now,
        now + lifetimes.refresh,
        access,
        access_expires_at,
        refresh_hash.as_slice(),
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
    access_hash: Option<&TokenHash>,
    next: &TokenHash,
    lifetimes: Lifetimes,
) -> Result<Option<Rotated>, sqlx::Error> {
    let (now, access) = (OffsetDateTime::now_utc(), access_hash.map(TokenHash::as_slice));
    let access_expires_at = access.map(|_| now + lifetimes.access);
    let row = sqlx::query!(
        "with used as (
             update refresh_tokens set used_at = $2
             where token_hash = $1 and used_at is null and expires_at > $2
             returning session_id
         ), family as (
             update sessions s set access_token_hash = $3, access_expires_at = $4, expires_at = $5
             from used join sessions old on old.id = used.session_id
             where s.id = used.session_id and s.revoked_at is null
             returning s.id, s.customer_id, old.access_token_hash
         ), next as (
             insert into refresh_tokens (token_hash, session_id, created_at, expires_at)
             select $6, id, $2, $5 from family
         )
         select family.id, family.customer_id, family.access_token_hash, c.role
         from family join customers c on c.id = family.customer_id",
        used.as_slice(),
        now,
        access,
        access_expires_at,
        now + lifetimes.refresh,
        next.as_slice(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Rotated {
        customer: Customer {
            id: row.customer_id,
            session_id: row.id,
            role: Role::from_name(&row.role),
        },
        old_access_hash: row.access_token_hash,
    }))
}

/// Replaces the hash of an unused token.
pub(super) async fn rename(
    connection: &mut InstrumentedConnection<'_>,
    from: &TokenHash,
    to: &TokenHash,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update refresh_tokens set token_hash = $2 where token_hash = $1",
        from.as_slice(),
        to.as_slice()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Revokes the family of a reused refresh token. `None` when there is none to revoke: a token that merely expired
/// revokes nothing. `named` is the family that the token names; the token's own row takes precedence.
pub(super) async fn revoke_if_used(
    connection: &mut InstrumentedConnection<'_>,
    token: &TokenHash,
    named: Uuid,
) -> Result<Option<Revoked>, sqlx::Error> {
    let row = sqlx::query!(
        "update sessions s set revoked_at = now()
         where s.id = coalesce(
                   (select r.session_id from refresh_tokens r where r.token_hash = $1 and r.used_at is not null), $2)
           and s.revoked_at is null
           and not exists (select from refresh_tokens r where r.token_hash = $1 and r.used_at is null)
         returning s.id, s.access_token_hash",
        token.as_slice(),
        named,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Revoked {
        session_id: row.id,
        access_hash: row.access_token_hash,
    }))
}

/// Revokes a family and returns the hash of its access token, if the row has one.
pub(super) async fn revoke(
    connection: &mut InstrumentedConnection<'_>,
    id: Uuid,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let hash = sqlx::query_scalar!(
        "update sessions set revoked_at = now() where id = $1 and revoked_at is null returning access_token_hash",
        id
    )
    .fetch_optional(connection)
    .await?;
    Ok(hash.flatten())
}
