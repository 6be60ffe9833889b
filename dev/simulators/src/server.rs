//! An HTTP server that can close a connection without a response, which `axum::serve` can't: a handler returns
//! [`close_connection`].

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// The maximum number of connections per listener; more wait in the system's backlog. A lower limit on open files is hit
/// first, and then accepting pauses.
const MAX_CONNECTIONS: usize = 4_096;

/// The keep-alive timeout. It is longer than that of the clients, so that the client closes an idle connection and no
/// request races with the close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// The maximum size of a request body, in bytes.
pub const MAX_BODY_BYTES: usize = 65_536;

/// Marks a response that is never sent.
#[derive(Debug, Clone, Copy)]
struct CloseConnection;

impl fmt::Display for CloseConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed without a response: an injected fault")
    }
}

impl std::error::Error for CloseConnection {}

/// A response that is never sent; the server closes the connection.
pub fn close_connection() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(CloseConnection);
    response
}

/// Serves until shutdown is requested, then drains: returns when the last request in flight is answered.
pub async fn serve(listener: TcpListener, router: Router, mut shutdown: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener, &permits) => match accepted {
                Ok((stream, _, permit)) => {
                    connections.spawn(serve_connection(stream, router.clone(), shutdown.clone(), permit));
                }
                Err(error) => pause_after(&error).await,
            },
            Some(_) = connections.join_next() => {}
            _ = shutdown_requested(&mut shutdown) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns when shutdown is requested.
pub async fn shutdown_requested(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|requested| *requested).await;
}

/// Accepts the next connection, within the limit.
///
/// # Errors
/// The system's. Call [`pause_after`] before the next attempt.
pub async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await;
    let permit = permit.expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    // Otherwise Nagle's algorithm would hold back the last part of a response until the client acknowledges the one before.
    stream.set_nodelay(true)?;
    Ok((stream, peer, permit))
}

/// Usually the process is out of file descriptors, and an immediate retry would only burn CPU.
pub async fn pause_after(error: &std::io::Error) {
    tracing::warn!(%error, "a connection can't be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let response = router.clone().oneshot(request.map(Body::new));
        async move {
            let response: Result<Response, Infallible> = response.await;
            let Ok(response) = response;
            // When a service returns an error, hyper closes the connection without writing a response.
            match response.extensions().get::<CloseConnection>() {
                Some(close_connection) => Err(*close_connection),
                None => Ok(response),
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = shutdown_requested(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
