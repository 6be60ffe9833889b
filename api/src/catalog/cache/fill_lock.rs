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

/// A lock that this process holds.
pub struct FillLock {
    name: String,
    token: String,
}

impl FillLock {
    /// Takes it. None when another process has it.
    ///
    /// # Errors
    /// When Redis doesn't answer, or refuses.
    pub async fn try_acquire(redis: &Redis, key: &str) -> Result<Option<Self>, RedisError> {
        let lock = Self {
            name: format!("{key}:filling"),
            token: Uuid::now_v7().simple().to_string(),
        };
        let mut set = Cmd::new();
        set.arg("SET")
            .arg(&lock.name)
            .arg(&lock.token)
            .arg("NX")
            .arg("PX")
            .arg(LOCK_TTL.as_millis() as u64);
        let taken = redis.query::<Option<String>>(&set).await?;
        Ok(taken.map(|_| lock))
    }

    /// Ends it, and stores what was made meanwhile.
    ///
    /// # Errors
    /// When Redis doesn't answer, or refuses. The lock ends by itself then.
    pub async fn release(
        self,
        redis: &Redis,
        key: &str,
        value: &[u8],
        ttl: Duration,
    ) -> Result<(), RedisError> {
        let mut script = Cmd::new();
        script
            .arg("EVAL")
            .arg(STORE_AND_RELEASE)
            .arg(2)
            .arg(key)
            .arg(&self.name)
            .arg(&self.token)
            .arg(value)
            .arg(ttl.as_millis() as u64);
        redis.query::<()>(&script).await
    }
}
