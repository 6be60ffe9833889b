//! The way to Redis: one multiplexed connection that reconnects by itself, a deadline on every command, and a pause
//! after failures (a circuit breaker), so that a Redis that is gone or slow costs a request at most one deadline now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo};
use secrecy::ExposeSecret;

use crate::settings::RedisSettings;
use crate::telemetry::trace::{self, Name};

/// How long Redis is left alone after a failure. Half of the second within which readers must see a change, so that
/// a Redis that comes back is in use again soon.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// A connection whose other end acknowledges nothing for so long is given up, and another is made. The kernel's own
/// quarter of an hour is how long a shop would go without its cache after Redis moved to another host.
const DEAD_AFTER: Duration = Duration::from_secs(4);

/// A shared handle on one connection. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    timeout: Duration,
    prefix: Arc<str>,
    pause: Arc<Pause>,
}

/// Redis gave no answer. What it was asked for has to come from elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// Nothing within the deadline.
    #[error("no answer from Redis within {0:?}")]
    Timeout(Duration),
    /// It failed a moment ago and is left alone for now.
    #[error("Redis failed a moment ago and is left alone for {PAUSE_AFTER_FAILURE:?}")]
    Paused,
    /// The command failed, or the connection is down.
    #[error(transparent)]
    Failed(#[from] redis::RedisError),
}

impl Redis {
    /// A handle that connects when it is first used: a shop starts without Redis.
    ///
    /// # Errors
    /// When the URL can't be parsed.
    pub fn new(settings: &RedisSettings) -> Result<Self, RedisError> {
        let address = settings.redis_url.expose_secret().into_connection_info()?;
        let client = redis::Client::open(address.set_tcp_settings(tcp_settings()))?;
        // One attempt at a time, without retries of its own: the deadline and the pause here bound what a request
        // waits, and the next request after the pause is the next attempt.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(Duration::from_secs(1)))
            // The deadline in `query` covers connecting, too; a second timer would bound the same wait again.
            .set_response_timeout(None);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            timeout: settings.redis_timeout,
            prefix: settings.redis_prefix.as_str().into(),
            pause: Arc::new(Pause::new()),
        })
    }

    /// What every key starts with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it failed a moment ago and is left alone.
    pub fn is_paused(&self) -> bool {
        self.pause.is_on()
    }

    /// Sends one command and waits for its answer, up to the deadline.
    ///
    /// # Errors
    /// When there is no answer in time, the command fails, or Redis is left alone after a failure.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        if self.pause.is_on() {
            return Err(RedisError::Paused);
        }
        let mut span = trace::client(|| name_of(command), Some("redis"));
        let mut connection = self.connection.clone();
        match tokio::time::timeout(self.timeout, command.query_async(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                span.failed("it failed");
                // A server that refuses a command, because its memory is full or it is loading, answers at once, and
                // may well answer the next.
                if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
                    self.pause.begin();
                }
                Err(error.into())
            }
            Err(_) => {
                span.failed("no answer in time");
                self.pause.begin();
                Err(RedisError::Timeout(self.timeout))
            }
        }
    }
}

/// A command is one small packet that an answer depends on: Nagle's algorithm would hold it back. A host that is gone
/// without a word closes no connection: unanswered bytes and unanswered probes do.
fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(DEAD_AFTER / 2)
        .with_interval(DEAD_AFTER / 4);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(DEAD_AFTER);
    settings
}

/// Its first word.
fn name_of(command: &Cmd) -> Name {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(b"GET")) => Name::Fixed("redis GET"),
        Some(redis::Arg::Simple(word)) => {
            Name::Shared(format!("redis {}", String::from_utf8_lossy(word)).into())
        }
        _ => Name::Fixed("redis"),
    }
}

/// The time until which Redis is left alone, in milliseconds since the handle was made.
struct Pause {
    origin: Instant,
    until_ms: AtomicU64,
}

impl Pause {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            until_ms: AtomicU64::new(0),
        }
    }

    fn is_on(&self) -> bool {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        until_ms != 0 && self.now_ms() < until_ms
    }

    fn begin(&self) {
        self.until_ms.store(
            self.now_ms() + PAUSE_AFTER_FAILURE.as_millis() as u64,
            Ordering::Relaxed,
        );
    }

    fn now_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sent_at_once_and_a_host_that_is_gone_is_noticed() {
        let settings = tcp_settings();
        assert!(settings.nodelay() && settings.keepalive().is_some());
        #[cfg(target_os = "linux")]
        assert_eq!(settings.user_timeout(), Some(DEAD_AFTER));
    }
}
