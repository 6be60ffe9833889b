//! Shutdown signals: the first starts a graceful shutdown, the second ends the process immediately.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT (Ctrl-C). Installed before anything slow, so that none is missed, even while the
/// process waits for its stores.
#[derive(Debug)]
pub struct ShutdownSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl ShutdownSignals {
    /// Replaces the default action of these signals, which ends the process.
    ///
    /// # Errors
    /// When a handler can't be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// From now on the next signal ends the process immediately, with exit code 1. Only responses are lost
    /// then, see "Walkthrough: consume" in ARCHITECTURE.md.
    pub fn exit_on_next(mut self) {
        tokio::spawn(async move {
            self.recv().await;
            tracing::warn!("second signal: the process ends immediately, and requests in flight are aborted");
            std::process::exit(1);
        });
    }
}
