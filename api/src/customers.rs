//! The customers' server: let in when all is ready, and sent home in order.
//!
//! A connection that is closed while it is idle may be closed under a request that was just sent. One that is closed after
//! an answer that says so isn't: its client sends the next request elsewhere. So for the closing notice every answer asks
//! for that, and nothing idle is closed; then nobody is taken any more; then what is in flight is finished, up to the drain
//! timeout.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use api::settings::HttpSettings;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use storefront::server::{self, ConnectionSettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::Layer;
use tower::util::MapResponseLayer;

use crate::listening::{Door, Listener};

/// For a request that is on its way over a connection that was taken as the last.
const LAST_ARRIVALS: Duration = Duration::from_millis(50);

/// A server that runs.
pub struct Customers {
    /// Where they connect.
    pub listen: SocketAddr,
    /// Whether their socket outlives this process.
    pub is_handed_over: bool,
    close: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Customers {
    /// Lets them in. While `draining` is true, each answer asks its client to come back over another connection.
    ///
    /// # Errors
    /// When nobody can listen there; the message says what to do.
    pub fn let_in(
        door: Door,
        router: Router,
        settings: ConnectionSettings,
        draining: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let (close, closing) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let is_handed_over = door.is_handed_over();
        let listener = door.open(closing)?;
        Ok(Self {
            listen: listener.address(),
            is_handed_over,
            close,
            stop,
            server: tokio::spawn(serve(listener, router, settings, draining, stopped)),
        })
    }

    /// Returns when the last one is answered, or the drain timeout is over.
    ///
    /// # Errors
    /// When the server had failed.
    pub async fn send_home(self, settings: HttpSettings) -> anyhow::Result<()> {
        // Who comes from now on waits for the next process. Nobody would be there for them at a socket of our own.
        self.close.send_replace(self.is_handed_over);
        tokio::time::sleep(settings.closing_notice).await;
        if !self.is_handed_over {
            self.close.send_replace(true);
            tokio::time::sleep(LAST_ARRIVALS).await;
        }
        self.stop.send_replace(true);
        match tokio::time::timeout(settings.drain_timeout, self.server).await {
            Ok(ended) => ended.context("the server ended unexpectedly")?,
            Err(_) => tracing::warn!("requests were still in flight at the deadline; they are cut off"),
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
    // Around the router and not one of its layers, which would cost each request two boxes; this one costs it a look at a
    // flag.
    let notice = MapResponseLayer::new(move |mut response: Response| {
        if draining.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    });
    server::serve(listener, notice.layer(router), settings, stopped).await;
}
