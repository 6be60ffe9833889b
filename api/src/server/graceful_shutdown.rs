//! The public server, with graceful shutdown.
//!
//! Closing an idle connection races with a request that the client has just sent. Closing after a response with
//! `connection: close` doesn't, because the client sends its next request over another connection. So shutdown has
//! three phases: during the closing notice every response carries `connection: close` and idle connections stay open;
//! then no connection is accepted any more; then requests in flight are drained, up to the drain timeout.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use platform::server::{self, ConnectionSettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::Layer;
use tower::util::MapResponseLayer;

use crate::server::listen_socket::{ListenSocket, Listener};
use crate::settings::HttpSettings;

/// Time for the first request on a connection that was accepted last.
const LAST_ARRIVALS: Duration = Duration::from_millis(50);

/// The running public server.
pub struct PublicServer {
    pub listen: SocketAddr,
    /// Whether the listening socket outlives this process.
    pub is_inherited: bool,
    close: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl PublicServer {
    /// Starts serving. While `draining` is true, every response carries `connection: close`.
    ///
    /// # Errors
    /// When the socket can't listen.
    pub fn start(
        socket: ListenSocket,
        router: Router,
        settings: ConnectionSettings,
        draining: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let (close, closing) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let is_inherited = socket.is_inherited();
        let listener = socket.listen(closing)?;
        Ok(Self {
            listen: listener.address(),
            is_inherited,
            close,
            stop,
            server: tokio::spawn(serve(listener, router, settings, draining, stopped)),
        })
    }

    /// Drains the server: returns when the last request is answered, or after the drain timeout.
    ///
    /// # Errors
    /// When the server task failed.
    pub async fn shut_down(self, settings: HttpSettings) -> anyhow::Result<()> {
        // An inherited socket is closed at once: new connections queue for the next process. With a socket of its
        // own, this process is the only one to accept them.
        self.close.send_replace(self.is_inherited);
        tokio::time::sleep(settings.closing_notice).await;
        if !self.is_inherited {
            self.close.send_replace(true);
            tokio::time::sleep(LAST_ARRIVALS).await;
        }
        self.stop.send_replace(true);
        match tokio::time::timeout(settings.drain_timeout, self.server).await {
            Ok(ended) => ended.context("the server ended unexpectedly")?,
            Err(_) => tracing::warn!("requests were still in flight at the drain timeout; they are aborted"),
        }
        Ok(())
    }
}

async fn serve(
    listener: Listener,
    router: Router,
    settings: ConnectionSettings,
    draining: Arc<AtomicBool>,
    stopped: watch::Receiver<bool>,
) {
    // Wraps the router from outside: as one of its layers it would cost each request two boxed futures instead of one
    // atomic load.
    let notice = MapResponseLayer::new(move |mut response: Response| {
        if draining.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    });
    server::serve(listener, notice.layer(router), settings, stopped).await;
}
