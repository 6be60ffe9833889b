//! One process at a time makes an answer that all share: a short lock in Redis (`SET NX PX`), which only its owner
//! releases. It saves work and guards nothing: who doesn't get it in time works without.

use std::time::Duration;

use redis::Cmd;
use storefront::redis::{Redis, RedisError};
use uuid::Uuid;

/// A lock that its owner doesn't release ends by itself. Longer than a list or a search may take in the database.
const LOCK_TTL: Duration = Duration::from_secs(1);

/// Stores the answer, unless it is empty, and releases the lock, if it is still ours: one round trip.
const STORE_AND_RELEASE: &str = "
local stored = 1
if #ARGV[2] > 0 then stored = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return stored";

/// A lock that this process holds. A request that goes away with its client releases it as well.
pub struct FillLock {
    redis: Redis,
    key: String,
    /// None once it is released.
    token: Option<String>,
}

impl FillLock {
    /// Takes it. None when another process has it.
    ///
    /// # Errors
    /// When Redis doesn't answer, or refuses.
    pub async fn try_acquire(redis: &Redis, key: &str) -> Result<Option<Self>, RedisError> {
        let token = Uuid::now_v7().simple().to_string();
        let mut set = Cmd::new();
        set.arg("SET")
            .arg(lock_name(key))
            .arg(&token)
            .arg("NX")
            .arg("PX")
            .arg(LOCK_TTL.as_millis() as u64);
        let taken = redis.query::<Option<String>>(&set).await?;
        Ok(taken.map(|_| Self {
            redis: redis.clone(),
            key: key.to_owned(),
            token: Some(token),
        }))
    }

    /// Ends it, and stores what was made meanwhile.
    ///
    /// # Errors
    /// When Redis doesn't answer, or refuses. The lock ends by itself then.
    pub async fn release(mut self, value: &[u8], ttl: Duration) -> Result<(), RedisError> {
        match self.token.take() {
            Some(token) => store_and_release(&self.redis, &self.key, &token, value, ttl).await,
            None => Ok(()),
        }
    }
}

impl Drop for FillLock {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(token), Ok(runtime)) = (self.token.take(), runtime) {
            let (redis, key) = (self.redis.clone(), std::mem::take(&mut self.key));
            runtime.spawn(async move {
                // What fails here ends by itself.
                let _ = store_and_release(&redis, &key, &token, &[], LOCK_TTL).await;
            });
        }
    }
}

fn lock_name(key: &str) -> String {
    format!("{key}:filling")
}

async fn store_and_release(
    redis: &Redis,
    key: &str,
    token: &str,
    value: &[u8],
    ttl: Duration,
) -> Result<(), RedisError> {
    let mut script = Cmd::new();
    script
        .arg("EVAL")
        .arg(STORE_AND_RELEASE)
        .arg(2)
        .arg(key)
        .arg(lock_name(key))
        .arg(token)
        .arg(value)
        .arg(ttl.as_millis() as u64);
    redis.query::<()>(&script).await
}
