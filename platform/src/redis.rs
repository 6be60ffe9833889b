//! The client of Redis: one multiplexed connection that reconnects by itself, a timeout on every command, and
//! a circuit breaker, so that an unreachable or slow Redis costs a request at most one timeout now and then.

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

/// How long the circuit breaker stays open after a failure. Half of the second within which a change must be
/// visible, so that a recovered Redis is used again soon.
const OPEN_FOR: Duration = Duration::from_millis(500);

/// A connection whose peer acknowledges nothing for this long is closed and replaced. With the
/// kernel's default of a quarter of an hour, a service would have no cache for that long after Redis
/// moved to another host.
const DEAD_AFTER: Duration = Duration::from_secs(4);

/// A handle on a shared connection. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    timeout: Duration,
    prefix: Arc<str>,
    breaker: Arc<CircuitBreaker>,
}

/// Redis gave no response; the caller has to use its fallback.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    #[error("no response from Redis within {0:?}")]
    Timeout(Duration),
    /// The circuit breaker is open.
    #[error("Redis failed a moment ago; it is skipped for {OPEN_FOR:?}")]
    CircuitOpen,
    /// The command failed, or the connection is down.
    #[error(transparent)]
    Failed(#[from] redis::RedisError),
}

impl Redis {
    /// A handle that connects lazily: a service starts without Redis.
    ///
    /// # Errors
    /// When the URL can't be parsed.
    pub fn new(settings: &RedisSettings) -> Result<Self, RedisError> {
        let address = settings.redis_url.expose_secret().into_connection_info()?;
        let client = redis::Client::open(address.set_tcp_settings(tcp_settings()))?;
        // No retries within the client: the timeout and the circuit breaker bound what a request waits, and
        // the first request after the breaker closes is the next attempt.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(Duration::from_secs(1)))
            // The timeout in `query` covers connecting too.
            .set_response_timeout(None);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            timeout: settings.redis_timeout,
            prefix: settings.redis_prefix.as_str().into(),
            breaker: Arc::new(CircuitBreaker::new()),
        })
    }

    /// The prefix of every key.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the circuit breaker is open.
    pub fn is_circuit_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Sends one command and waits for its response, with a timeout.
    ///
    /// # Errors
    /// On a timeout, when the command fails, or while the circuit breaker is open.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        if self.breaker.is_open() {
            return Err(RedisError::CircuitOpen);
        }
        let mut span = trace::client(|| name_of(command), Some("redis"));
        let mut connection = self.connection.clone();
        match tokio::time::timeout(self.timeout, command.query_async(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                span.failed("the command failed");
                // A server that rejects a command, because its memory is full or it is loading, is reachable,
                // and may accept the next one.
                if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
                    self.breaker.open();
                }
                Err(error.into())
            }
            Err(_) => {
                span.failed("no response in time");
                self.breaker.open();
                Err(RedisError::Timeout(self.timeout))
            }
        }
    }
}

/// Commands are single small packets that a response depends on, so Nagle's algorithm is off. A host that
/// disappeared closes no connection: keepalive and the user timeout do.
fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(DEAD_AFTER / 2)
        .with_interval(DEAD_AFTER / 4);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(DEAD_AFTER);
    settings
}

/// The command's first word.
fn name_of(command: &Cmd) -> Name {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(b"GET")) => Name::Fixed("redis GET"),
        Some(redis::Arg::Simple(word)) => {
            Name::Shared(format!("redis {}", String::from_utf8_lossy(word)).into())
        }
        _ => Name::Fixed("redis"),
    }
}

/// A circuit breaker: open until this time, in milliseconds since the handle was created.
struct CircuitBreaker {
    origin: Instant,
    until_ms: AtomicU64,
}

impl CircuitBreaker {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            until_ms: AtomicU64::new(0),
        }
    }

    fn is_open(&self) -> bool {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        until_ms != 0 && self.now_ms() < until_ms
    }

    fn open(&self) {
        self.until_ms
            .store(self.now_ms() + OPEN_FOR.as_millis() as u64, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sent_at_once_and_a_dead_host_is_noticed() {
        let settings = tcp_settings();
        assert!(settings.nodelay() && settings.keepalive().is_some());
        #[cfg(target_os = "linux")]
        assert_eq!(settings.user_timeout(), Some(DEAD_AFTER));
    }
}
