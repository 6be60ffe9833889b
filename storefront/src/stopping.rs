//! The signals that end a process: the first asks it to end in order, the second to end at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT (Ctrl-C), from now on. Made before anything that takes time, so that none is missed and a process
/// that still waits for its stores ends as well.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the place of what the system does at these signals, which is to end the process.
    ///
    /// # Errors
    /// Those of the system.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns at the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// From now on the next one ends the process at once, with exit code 1: whoever asks a second time doesn't want to
    /// wait for what is in flight. Nothing is lost by that but answers, see "Walkthrough: consume" in ARCHITECTURE.md.
    pub fn end_at_the_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("asked a second time: it ends at once, whatever is in flight");
            std::process::exit(1);
        });
    }
}
