//! A connection whose bytes are acknowledged as they are read.
//!
//! Linux delays an acknowledgement by up to 40 ms, in the hope of an answer to send it with. A client that writes a mail
//! and its lone dot apart, and leaves Nagle's algorithm on, holds the dot back until then: lettre up to 0.11.23 does
//! (<https://github.com/lettre/lettre/pull/1159>). The latency of a mail would then be the client's fault, and not what
//! the sink was told to take.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

pub(super) struct PromptAck(pub(super) OwnedReadHalf);

impl AsyncRead for PromptAck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.0).poll_read(context, buffer);
        // The kernel forgets the option by itself (tcp(7)), so it is set at every read. It is a hint: without it the
        // mail arrives as well, later.
        #[cfg(target_os = "linux")]
        if polled.is_ready() {
            let _ = self.0.as_ref().set_quickack(true);
        }
        polled
    }
}
