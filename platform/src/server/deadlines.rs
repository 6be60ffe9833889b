//! Deadlines of a connection: for the head of a request, for idle time between two requests, and for a client
//! that doesn't read its response. The body of a request has a separate deadline, which its
//! handler sets.
//!
//! They are implemented on the stream, because hyper's own creates a timer per request, and has one timeout
//! for both heads and idle time. Here a connection has one timer, which is moved when it fires too early.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::ConnectionSettings;

/// The progress of a connection's requests. Odd while a request is being handled; each request adds two.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU32);

impl Progress {
    /// Called when a request's head was read. The request is handled until the guard is dropped.
    pub(super) fn start_request(self: Arc<Self>) -> RequestGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        RequestGuard(self)
    }
}

/// Marks a request as being handled.
pub(super) struct RequestGuard(Arc<Progress>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream that fails when its client is too slow.
pub(super) struct TimedStream {
    stream: TcpStream,
    progress: Arc<Progress>,
    seen: u32,
    settings: ConnectionSettings,
    /// The head of the next request has been read in part.
    is_reading_head: bool,
    /// The deadline of the next bytes. `None` when it is set by the next poll.
    until: Option<Instant>,
    read_timer: Timer,
    /// Created when a write has to wait for the first time.
    write_timer: Option<Timer>,
    is_write_pending: bool,
}

impl TimedStream {
    pub(super) fn new(stream: TcpStream, progress: Arc<Progress>, settings: ConnectionSettings) -> Self {
        let until = Instant::now() + settings.header_timeout;
        Self {
            stream,
            progress,
            seen: 0,
            settings,
            // A new connection has the deadline of a head, because its client should
            // send a request immediately.
            is_reading_head: true,
            until: Some(until),
            read_timer: Timer::at(until),
            write_timer: None,
            is_write_pending: false,
        }
    }

    /// Whether a request is being handled. Otherwise the server waits for the client.
    fn is_handling_request(&mut self) -> bool {
        let now = self.progress.0.load(Ordering::Relaxed);
        if now != self.seen {
            self.seen = now;
            self.is_reading_head = false;
            self.until = None;
        }
        now % 2 == 1
    }

    /// Ready when the client has missed its read deadline.
    fn poll_read_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_handling_request() {
            return Poll::Pending;
        }
        let idle = self.settings.idle_timeout;
        let until = *self.until.get_or_insert_with(|| Instant::now() + idle);
        self.read_timer.poll(until, context)
    }

    /// Applies the write deadline to the result of a write.
    fn check_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.is_write_pending = false;
            if !self.is_reading_head {
                // Idle time starts after the last byte of the response.
                self.until = None;
            }
            return written;
        }
        let limit = self.settings.write_timeout;
        let starts_waiting = !std::mem::replace(&mut self.is_write_pending, true);
        let timer = self
            .write_timer
            .get_or_insert_with(|| Timer::at(Instant::now() + limit));
        let until = if starts_waiting {
            Instant::now() + limit
        } else {
            timer.until
        };
        timer
            .poll(until, context)
            .map(|()| Err(too_slow("to read its response")))
    }
}

fn too_slow(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the client took too long {what}"),
    )
}

impl AsyncRead for TimedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_pending() {
            return this
                .poll_read_deadline(context)
                .map(|()| Err(too_slow("to send its request")));
        }
        let has_bytes = buffer.filled().len() > before;
        if has_bytes && !this.is_handling_request() && !this.is_reading_head {
            this.is_reading_head = true;
            this.until = Some(Instant::now() + this.settings.header_timeout);
        }
        read
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.check_write(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.check_write(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        // After a response hyper flushes, and then doesn't poll the stream until bytes arrive. Polling the
        // timer here registers it to wake hyper at the deadline, which then reads.
        let _ = this.poll_read_deadline(context);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// A timer that can be moved.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    until: Instant,
}

impl Timer {
    fn at(until: Instant) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep_until(until)),
            until,
        }
    }

    /// Ready at `until`, which may differ between polls. For a later time, the timer is moved only when the
    /// earlier one has fired, so that most requests don't move it.
    fn poll(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        if until < self.sleep.deadline() {
            self.sleep.as_mut().reset(until);
        }
        self.until = until;
        loop {
            ready!(self.sleep.as_mut().poll(context));
            if self.sleep.deadline() >= until {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(until);
        }
    }
}
