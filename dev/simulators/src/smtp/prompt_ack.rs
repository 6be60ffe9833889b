//! A connection without delayed acknowledgements (`TCP_QUICKACK`).
//!
//! Linux delays an acknowledgement by up to 40 ms to send it along with a response. A client that writes the final dot of
//! a mail separately, with Nagle's algorithm on, holds the dot back until then: lettre up to 0.11.23 does
//! (<https://github.com/lettre/lettre/pull/1159>). The measured latency of a mail would then be the client's, not the
//! configured one.

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
        // The option isn't permanent (tcp(7)), so it is set at every read. Failures are ignored: the mail then only
        // arrives later.
        #[cfg(target_os = "linux")]
        if polled.is_ready() {
            let _ = self.0.as_ref().set_quickack(true);
        }
        polled
    }
}
