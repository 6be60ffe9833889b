//! The mail server: takes every mail and delivers none. What arrived is read at the inbox.
//!
//! Read next: `session.rs`, a conversation; `inbox/mod.rs`, the page and its HTTP.

pub mod inbox;
mod lines;
mod mailbox;
mod prompt_ack;
mod session;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use self::mailbox::{Bounds, Kept, Mailbox};
use crate::conduct::{Conduct, Faults, Party};
use crate::server;

/// Connections at a time; more wait in the system's backlog.
const MOST_CONNECTIONS: usize = 512;

/// What can be set of the mail server: what all parties have. A mail is a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SmtpConduct(pub Faults);

impl Conduct for SmtpConduct {
    fn faults(&self) -> &Faults {
        &self.0
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What a conversation needs to know.
#[derive(Debug)]
pub struct Sink {
    /// Its behaviour.
    pub party: Arc<Party<SmtpConduct>>,
    /// Where mails go.
    pub mailbox: Arc<Mailbox>,
    /// The largest mail that is taken, in bytes.
    pub largest_mail_bytes: usize,
}

/// Serves until stopped, then ends when the last client was told.
pub async fn serve(listener: TcpListener, sink: Arc<Sink>, mut stopped: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = server::accept(&listener, &permits) => match accepted {
                Ok((stream, peer, permit)) => {
                    let (sink, stopped) = (sink.clone(), stopped.clone());
                    sessions.spawn(async move {
                        if let Err(error) = session::converse(stream, &sink, stopped).await {
                            tracing::debug!(%error, %peer, "a conversation broke off");
                        }
                        drop(permit);
                    });
                }
                Err(error) => server::pause_after(&error).await,
            },
            Some(_) = sessions.join_next() => {}
            _ = server::until_stopped(&mut stopped) => break,
        }
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}
