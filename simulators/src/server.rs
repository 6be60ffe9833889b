//! An HTTP server that can close a connection instead of answering, which axum's own can't: a handler that returns
//! [`hang_up`] leaves its client without any answer.

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

/// Connections of one listener; more wait in the system's backlog. Where a process may have fewer files open, that
/// limit is met first, and waited out.
const MOST_CONNECTIONS: usize = 4_096;

/// How long a connection may be silent between requests. Longer than clients keep one idle, so that the client closes
/// it and none is lost under a request.
const SILENCE: Duration = Duration::from_secs(120);

/// The largest request body, in bytes.
pub const LARGEST_BODY_BYTES: usize = 65_536;

/// The mark on a response that is not sent.
#[derive(Debug, Clone, Copy)]
struct HangUp;

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed without an answer, as was asked for")
    }
}

impl std::error::Error for HangUp {}

/// A response that is never sent: the connection is closed.
pub fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}

/// Serves until stopped, then ends when the last request in flight is answered.
pub async fn serve(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener, &permits) => match accepted {
                Ok((stream, _, permit)) => {
                    connections.spawn(serve_connection(stream, router.clone(), stopped.clone(), permit));
                }
                Err(error) => pause_after(&error).await,
            },
            Some(_) = connections.join_next() => {}
            _ = until_stopped(&mut stopped) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Ends when the process is asked to stop, or has stopped.
pub async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The next connection, when there is room for it.
///
/// # Errors
/// Those of the system; [`pause_after`] them.
pub async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await;
    let permit = permit.expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    // Without it, the last part of an answer waits for the client's acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok((stream, peer, permit))
}

/// Out of files, as a rule: trying again at once would only burn the processor.
pub async fn pause_after(error: &std::io::Error) {
    tracing::warn!(%error, "a connection can't be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answering = router.clone().oneshot(request.map(Body::new));
        async move {
            let response: Result<Response, Infallible> = answering.await;
            let Ok(response) = response;
            // A service that fails makes hyper close the connection with nothing written.
            match response.extensions().get::<HangUp>() {
                Some(hang_up) => Err(*hang_up),
                None => Ok(response),
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = until_stopped(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
