//! The accept loop: HTTP/1.1 with deadlines and a limit of connections, neither of which `axum::serve` has.
//!
//! Without deadlines, half a header would keep a connection open forever (slowloris). The number of connections is
//! limited, because each costs memory and a file descriptor. Above the limit, a client gets a 503 immediately (load
//! shedding). In the listener's backlog, the connection would look established to the client and its load balancer, and
//! could wait indefinitely.

mod deadlines;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::response::Response;
use axum::serve::Listener;
use clap::Args;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

use self::deadlines::{Progress, TimedStream};
use crate::settings::parse_millis;

/// The size of a connection's buffer, in each direction. A response of the catalogue fits; a larger one is
/// written as its client reads.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// The limit of connections to the internal listener: probes, a few metrics collectors, and operators.
pub const MAX_INTERNAL_CONNECTIONS: u32 = 64;

/// Concurrent rejections with a response. Beyond these, a connection is closed without one.
const MAX_REJECTIONS: usize = 64;

/// How long a rejected client may take to read its response.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// The response to a client above the connection limit, sent before its request is read.
const REJECTION: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\n",
    "content-type: application/problem+json\r\n",
    "content-length: 151\r\n",
    "retry-after: 1\r\n",
    "connection: close\r\n",
    "\r\n",
    r#"{"type":"about:blank","title":"Service Unavailable","status":503,"code":"overloaded","#,
    r#""detail":"too many connections at once; try again after a second"}"#,
);

/// Limits of client connections. Each connection costs a file descriptor and some tens of KB.
#[derive(Debug, Clone, Copy, Args)]
pub struct ConnectionSettings {
    /// Open client connections; above this limit, a new one is answered 503. Twice the thousand or so that a
    /// balancer keeps open to one process; needs the same number of file descriptors
    /// (ulimit -n)
    #[arg(long, env = "BACKSTOCK_MAX_CONNECTIONS", default_value_t = 2_048,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// How long the head of a request may take to arrive, in milliseconds, counted from its first byte or
    /// from the opening of the connection
    #[arg(long = "header-timeout-ms", env = "BACKSTOCK_HEADER_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub header_timeout: Duration,

    /// How long a connection may be idle between two requests before it is closed, in milliseconds. Longer
    /// than the balancer's idle timeout, typically 60 s at most: the side that sends requests should close
    #[arg(long = "idle-timeout-ms", env = "BACKSTOCK_IDLE_TIMEOUT_MS", default_value = "75000",
          value_parser = parse_millis)]
    pub idle_timeout: Duration,

    /// How long a client may stop reading a response that is ready for it, in milliseconds
    #[arg(long = "write-timeout-ms", env = "BACKSTOCK_WRITE_TIMEOUT_MS", default_value = "30000",
          value_parser = parse_millis)]
    pub write_timeout: Duration,

    /// The largest request head that is accepted, in bytes; a larger one is answered 431
    #[arg(long, env = "BACKSTOCK_MAX_HEADER_BYTES", default_value_t = 16_384,
          value_parser = clap::value_parser!(u32).range(1_024..=65_536))]
    pub max_header_bytes: u32,
}

/// Describes the metrics of connections, and exports zeros from the start.
pub fn describe_metrics() {
    metrics::describe_gauge!("http_connections", "Open connections of clients and operators.");
    metrics::describe_counter!(
        "http_connections_refused_total",
        "Connections that were rejected above the connection limit, most with a 503."
    );
    record_open_connections(0);
    rejected_counter().absolute(0);
}

fn record_open_connections(open: u32) {
    metrics::gauge!("http_connections").set(open);
}

fn rejected_counter() -> metrics::Counter {
    metrics::counter!("http_connections_refused_total")
}

/// Serves until `stopped` is true, then shuts down gracefully: closes idle connections, drains requests in
/// flight, and returns when the last connection is closed.
pub async fn serve<L, A>(
    mut listener: L,
    app: A,
    settings: ConnectionSettings,
    mut stopped: watch::Receiver<bool>,
) where
    L: Listener<Io = TcpStream, Addr = SocketAddr>,
    A: Service<Request, Response = Response, Error = std::convert::Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    let maximum = settings.max_connections;
    let slots = Arc::new(Semaphore::new(maximum as usize));
    let rejections = Arc::new(Semaphore::new(MAX_REJECTIONS));
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => accepted,
        };
        // With Nagle's algorithm, the last part of a response would wait for the acknowledgement of the
        // previous one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY can't be set");
        }
        match slots.clone().try_acquire_owned() {
            Ok(slot) => {
                let stopped = stopped.clone();
                tokio::spawn(serve_connection(
                    stream,
                    peer,
                    app.clone(),
                    settings,
                    stopped,
                    slot,
                ));
            }
            Err(_) => {
                rejected_counter().increment(1);
                if let Ok(permit) = rejections.clone().try_acquire_owned() {
                    tokio::spawn(reject(stream, permit));
                }
            }
        }
    }
    drop(listener);
    let _all = slots.acquire_many(maximum).await;
}

async fn serve_connection<A>(
    stream: TcpStream,
    peer: SocketAddr,
    app: A,
    settings: ConnectionSettings,
    mut stopped: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
) where
    A: Service<Request, Response = Response, Error = std::convert::Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    let _open = OpenConnection::begin();
    let progress = Arc::new(Progress::default());
    let io = TokioIo::new(TimedStream::new(stream, progress.clone(), settings));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        // Rate limits count attempts by the client's address.
        request.extensions_mut().insert(ConnectInfo(peer));
        // `poll_ready` isn't called, because a router is always ready.
        let (guard, response) = (progress.clone().start_request(), app.clone().call(request));
        async move {
            let response = response.await;
            drop(guard);
            response
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(MAX_BUFFER_BYTES)
        .max_header_size(settings.max_header_bytes as usize)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let stop = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client disconnected, or was too slow.
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}

/// Responds without reading the request. The client's bytes are read afterwards, because closing a connection
/// with unread bytes would reset it, and lose the response.
async fn reject(mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let rejecting = async {
        stream.write_all(REJECTION.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    let _ = tokio::time::timeout(REJECTION_TIMEOUT, rejecting).await;
}

static OPEN: AtomicU32 = AtomicU32::new(0);

/// Counts an open connection until it is dropped.
struct OpenConnection;

impl OpenConnection {
    fn begin() -> Self {
        record_open_connections(OPEN.fetch_add(1, Ordering::Relaxed) + 1);
        Self
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        record_open_connections(OPEN.fetch_sub(1, Ordering::Relaxed) - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::REJECTION;

    #[test]
    fn the_rejection_has_its_content_length() {
        let (head, body) = REJECTION.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
