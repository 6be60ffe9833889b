//! The mail server: a sink that accepts every mail and relays none. The inbox shows what arrived.
//!
//! Read next: `connection.rs` for SMTP, `inbox/mod.rs` for the page and the HTTP API.

mod connection;
pub mod inbox;
mod lines;
mod mailbox;
mod prompt_ack;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use self::mailbox::{MailSnapshot, Mailbox, MailboxLimits};
use crate::fault_injection::{FaultConfig, Faults, SimulatedService};
use crate::server;

/// The maximum number of connections; more wait in the system's backlog.
const MAX_CONNECTIONS: usize = 512;

/// The mail server's settings: the shared ones. Each mail counts as a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SmtpConfig(pub Faults);

impl FaultConfig for SmtpConfig {
    fn faults(&self) -> &Faults {
        &self.0
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct MailSink {
    /// Injects faults.
    pub service: Arc<SimulatedService<SmtpConfig>>,
    /// Stores the mails.
    pub mailbox: Arc<Mailbox>,
    /// The maximum size of a mail.
    pub max_mail_bytes: usize,
}

/// Serves until shutdown is requested, then drains: each client gets a 421 reply.
pub async fn serve(listener: TcpListener, sink: Arc<MailSink>, mut shutdown: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = server::accept(&listener, &permits) => match accepted {
                Ok((stream, peer, permit)) => {
                    let (sink, shutdown) = (sink.clone(), shutdown.clone());
                    connections.spawn(async move {
                        if let Err(error) = connection::serve(stream, &sink, shutdown).await {
                            tracing::debug!(%error, %peer, "an SMTP connection failed");
                        }
                        drop(permit);
                    });
                }
                Err(error) => server::pause_after(&error).await,
            },
            Some(_) = connections.join_next() => {}
            _ = server::shutdown_requested(&mut shutdown) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
