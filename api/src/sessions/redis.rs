//! **Technique**: an opaque token, looked up in Redis; what Redis doesn't know is read from the table `sessions` and
//! kept there until the token expires.
//! **Cost**: a round trip to Redis for each request, with all that is kept with a session; a statement for the first
//! request of a token. A sign-out takes a transaction, since two stores have to hear of it.
//! **Fails when**: Redis is away: every request asks Postgres, and nobody can sign out. When it goes away just as a
//! refresh token comes twice, the access token of that family is good until it expires.
//! **Source**: <https://redis.io/docs/latest/develop/use/patterns/>; OWASP, Session Management Cheat Sheet,
//! <https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html>

use ::redis::Cmd;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use storefront::redis::{Redis, RedisError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::stored::{self, Stored};
use super::{Customer, Role};
use crate::database::Database;
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::opaque_token::{OpaqueToken, TokenHash};

/// What stands where a session was. It isn't removed but overwritten, and sessions are only put where nothing stands:
/// so a request that has read the row before the sign-out can't bring it back.
const FORGOTTEN: &str = "-";

/// How long that is remembered: longer than any access token is good.
const FORGOTTEN_FOR_MS: i64 = 3_600_000;

/// The arm `sessions=redis`.
pub struct RedisSessions {
    redis: Redis,
}

/// What is kept under a token's hash.
#[derive(Serialize, Deserialize)]
struct Kept {
    customer_id: Uuid,
    session_id: Uuid,
    role: String,
    data: Box<RawValue>,
}

impl RedisSessions {
    pub(super) fn new(redis: Redis) -> Self {
        Self { redis }
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
            Ok(Some(kept)) if kept == FORGOTTEN.as_bytes() => return Ok(None),
            Ok(Some(kept)) => {
                if let Ok(kept) = serde_json::from_slice::<Kept>(&kept) {
                    return Ok(Some(Customer {
                        id: kept.customer_id,
                        session_id: kept.session_id,
                        role: Role::from_name(&kept.role),
                    }));
                }
            }
            Ok(None) => {}
            Err(error) => log(&error),
        }
        let mut session = database.session(timings).await?;
        let stored = stored::read(&mut session, &hash).await?;
        drop(session);
        let Some(stored) = stored else {
            return Ok(None);
        };
        self.keep(&key, &stored).await;
        Ok(Some(stored.customer))
    }

    async fn keep(&self, key: &str, stored: &Stored) {
        let kept = serde_json::to_vec(&Kept {
            customer_id: stored.customer.id,
            session_id: stored.customer.session_id,
            role: stored.customer.role.as_str().to_owned(),
            data: stored.data.clone(),
        });
        let kept = kept.expect("ids, a word and JSON serialize");
        let left = stored.access_expires_at - OffsetDateTime::now_utc();
        let mut set = ::redis::cmd("SET");
        set.arg(key)
            .arg(kept)
            .arg("NX")
            .arg("PX")
            .arg(left.whole_milliseconds().max(1) as i64);
        if let Err(error) = self.redis.query::<()>(&set).await {
            log(&error);
        }
    }

    pub(super) async fn forget(&self, access_hash: Option<&[u8]>) -> Result<(), ApiError> {
        let Some(hash) = access_hash.and_then(|hash| TokenHash::try_from(hash).ok()) else {
            return Ok(());
        };
        let mut set = ::redis::cmd("SET");
        set.arg(self.key(&hash))
            .arg(FORGOTTEN)
            .arg("PX")
            .arg(FORGOTTEN_FOR_MS);
        self.redis.query::<()>(&set).await.map_err(|error| {
            log(&error);
            ApiError::PartUnavailable("Redis, which keeps sessions")
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

/// Redis being away is expected: one line when it begins, none for each request that it is left alone for.
fn log(error: &RedisError) {
    if !matches!(error, RedisError::Paused) {
        tracing::warn!(%error, "sessions can't be looked up in Redis; Postgres is asked instead");
    }
}
