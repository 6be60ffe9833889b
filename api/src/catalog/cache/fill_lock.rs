//! A short lock in Redis (`SET NX PX`) against a cache stampede of several processes: only its holder makes the answer
//! that all share, and only its holder releases it. It saves work but guards no invariant, so a request that doesn't get
//! it in time does the work without it.

use std::time::Duration;

use platform::redis::{Redis, RedisError};
use redis::Cmd;
use uuid::Uuid;

/// The lock expires if its holder doesn't release it. Longer than the database may take for a list or a search.
const LOCK_TTL: Duration = Duration::from_secs(1);

/// Stores the answer unless it is empty, and releases the lock if this process still holds it, in one round trip.
const STORE_AND_RELEASE: &str = "
local stored = 1
if #ARGV[2] > 0 then stored = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return stored";

/// A lock held by this process. It is also released when the request is cancelled because its client disconnected.
pub struct FillLock {
    redis: Redis,
    key: String,
    /// `None` once the lock is released.
    token: Option<String>,
}

impl FillLock {
    /// Acquires the lock. `None` if another process holds it.
    ///
    /// # Errors
    /// When Redis is unavailable or returns an error.
    pub async fn try_acquire(redis: &Redis, key: &str) -> Result<Option<Self>, RedisError> {
        let token = Uuid::now_v7().simple().to_string();
        let mut set = Cmd::new();
        set.arg("SET")
            .arg(lock_name(key))
            .arg(&token)
            .arg("NX")
            .arg("PX")
            .arg(LOCK_TTL.as_millis() as u64);
        let acquired = redis.query::<Option<String>>(&set).await?;
        Ok(acquired.map(|_| Self {
            redis: redis.clone(),
            key: key.to_owned(),
            token: Some(token),
        }))
    }

    /// Stores the value and releases the lock.
    ///
    /// # Errors
    /// When Redis is unavailable or returns an error. The lock expires then.
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
                // If this fails, the lock expires.
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
