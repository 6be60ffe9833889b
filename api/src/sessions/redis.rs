//! **Technique**: an opaque token, looked up in Redis; on a miss, it is read from the table `sessions` and cached
//! until the token expires.
//! **Cost**: a round trip to Redis per request, with all data of the session; a statement for a token's first
//! request. A sign-out takes a transaction, because two stores must be updated.
//! **Fails when**: Redis is down: every request queries Postgres, and sign-outs fail. If it goes down just as a
//! refresh token is reused, the family's access token stays valid until it expires.
//! **Source**: <https://redis.io/docs/latest/develop/use/patterns/>; OWASP, Session Management Cheat Sheet,
//! <https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html>

use std::time::Duration;

use ::redis::Cmd;
use platform::keyring::Keyring;
use platform::redis::{Redis, RedisError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::stored::{self, Stored};
use super::{Access, Customer, Role, refresh_token_family};
use crate::database::{Database, InstrumentedConnection};
use crate::opaque_token::{OpaqueToken, TokenHash};
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The tombstone of a session. It overwrites the session instead of deleting it, and sessions are only set with `NX`,
/// so that a request that read the row before the sign-out can't cache it again.
const TOMBSTONE: &str = "-";

/// Longer than an access token can live, which its setting limits to 15 minutes.
const TOMBSTONE_TTL_MS: i64 = 3_600_000;

/// The arm `sessions=redis`.
pub struct RedisSessions {
    redis: Redis,
}

/// The value under the hash of an access token.
#[derive(Serialize, Deserialize)]
struct CachedSession {
    customer_id: Uuid,
    session_id: Uuid,
    role: String,
    data: Box<RawValue>,
}

impl RedisSessions {
    pub(super) fn new(_keyring: &Keyring, redis: &Redis) -> Self {
        Self { redis: redis.clone() }
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
        let hash = token.hash();
        let key = self.key(&hash);
        match self.redis.query::<Option<Vec<u8>>>(&Cmd::get(&key)).await {
            Ok(Some(cached)) if cached == TOMBSTONE.as_bytes() => return Ok(None),
            Ok(Some(cached)) => {
                if let Ok(cached) = serde_json::from_slice::<CachedSession>(&cached) {
                    return Ok(Some(Customer {
                        id: cached.customer_id,
                        session_id: cached.session_id,
                        role: Role::from_name(&cached.role),
                    }));
                }
            }
            Ok(None) => {}
            Err(error) => log(&error),
        }
        let mut connection = database.acquire(timings).await?;
        let stored = stored::read(&mut connection, &hash).await?;
        drop(connection);
        let Some(stored) = stored else {
            return Ok(None);
        };
        self.cache(&key, &stored).await;
        Ok(Some(stored.customer))
    }

    async fn cache(&self, key: &str, stored: &Stored) {
        let cached = serde_json::to_vec(&CachedSession {
            customer_id: stored.customer.id,
            session_id: stored.customer.session_id,
            role: stored.customer.role.as_str().to_owned(),
            data: stored.data.clone(),
        });
        let cached = cached.expect("ids, a word and JSON serialize");
        let ttl = stored.access_expires_at - OffsetDateTime::now_utc();
        let mut set = ::redis::cmd("SET");
        set.arg(key)
            .arg(cached)
            .arg("NX")
            .arg("PX")
            .arg(ttl.whole_milliseconds().max(1) as i64);
        if let Err(error) = self.redis.query::<()>(&set).await {
            log(&error);
        }
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
        let mut transaction = connection.begin().await?;
        let access_hash = refresh_token_family::revoke(&mut transaction, session).await?;
        self.forget(access_hash.as_deref()).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn forget(&self, access_hash: Option<&[u8]>) -> Result<(), ApiError> {
        let Some(hash) = access_hash.and_then(|hash| TokenHash::try_from(hash).ok()) else {
            return Ok(());
        };
        let mut set = ::redis::cmd("SET");
        set.arg(self.key(&hash))
            .arg(TOMBSTONE)
            .arg("PX")
            .arg(TOMBSTONE_TTL_MS);
        self.redis.query::<()>(&set).await.map_err(|error| {
            log(&error);
            ApiError::PartUnavailable("Redis, which caches sessions")
        })
    }

    fn key(&self, hash: &TokenHash) -> String {
        use std::fmt::Write as _;
        let mut key = String::with_capacity(self.redis.prefix().len() + 72);
        key.push_str(self.redis.prefix());
        key.push_str("session:");
        for byte in hash {
            write!(key, "{byte:02x}").expect("writing to a string can't fail");
        }
        key
    }
}

/// Logs no line for requests that skip Redis because the circuit breaker is open.
fn log(error: &RedisError) {
    if !matches!(error, RedisError::CircuitOpen) {
        tracing::warn!(%error, "sessions can't be looked up in Redis; falling back to Postgres");
    }
}
