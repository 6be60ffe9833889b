//! Deadlines of a connection: for the head of a request, for the pause between two requests, and for a client that
//! doesn't read its answer. The body of a request has its own, in `http/slow_body.rs` of the api.
//!
//! They are at the stream and not hyper's own: hyper's makes a new timer for each request, and has one time for heads and
//! for pauses. Here a connection has one timer, which is moved when it goes off too early.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::ConnectionSettings;

/// How far a connection is, as its service knows it. Odd while a request is answered; each answer adds two.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU32);

impl Progress {
    /// A request's head was read. It is answered until the guard is dropped.
    pub(super) fn begin_answer(self: Arc<Self>) -> Answering {
        self.0.fetch_add(1, Ordering::Relaxed);
        Answering(self)
    }
}

/// A request is being answered.
pub(super) struct Answering(Arc<Progress>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection that fails when its client is too slow.
pub(super) struct TimedStream {
    stream: TcpStream,
    progress: Arc<Progress>,
    seen: u32,
    settings: ConnectionSettings,
    /// A part of a head was read.
    has_head_begun: bool,
    /// When the next bytes must have come. `None` where that is counted from the next look on.
    until: Option<Instant>,
    reading: Timer,
    /// Made when a client doesn't read for the first time.
    writing: Option<Timer>,
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
            // A new connection is there to send something.
            has_head_begun: true,
            until: Some(until),
            reading: Timer::at(until),
            writing: None,
            is_write_pending: false,
        }
    }

    /// Whether a request is being answered. Else, the client is waited for.
    fn is_answering(&mut self) -> bool {
        let now = self.progress.0.load(Ordering::Relaxed);
        if now != self.seen {
            self.seen = now;
            self.has_head_begun = false;
            self.until = None;
        }
        now % 2 == 1
    }

    /// Ready when the client has sent nothing for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_answering() {
            return Poll::Pending;
        }
        let idle = self.settings.idle_timeout;
        let until = *self.until.get_or_insert_with(|| Instant::now() + idle);
        self.reading.poll(until, context)
    }

    /// What came of a write.
    fn wrote(
        &mut self,
        wrote: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.is_write_pending = false;
            if !self.has_head_begun {
                // The pause begins after the answer's last byte.
                self.until = None;
            }
            return wrote;
        }
        let limit = self.settings.write_timeout;
        let fresh = !std::mem::replace(&mut self.is_write_pending, true);
        let timer = self
            .writing
            .get_or_insert_with(|| Timer::at(Instant::now() + limit));
        let until = if fresh {
            Instant::now() + limit
        } else {
            timer.until
        };
        timer
            .poll(until, context)
            .map(|()| Err(too_slow("to read its answer")))
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
                .poll_silence(context)
                .map(|()| Err(too_slow("to send its request")));
        }
        let has_bytes = buffer.filled().len() > before;
        if has_bytes && !this.is_answering() && !this.has_head_begun {
            this.has_head_begun = true;
            this.until = Some(Instant::now() + this.settings.header_timeout);
        }
        read
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.wrote(wrote, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.wrote(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        // hyper flushes after an answer, and then doesn't look at the stream before something comes. So the timer is
        // asked to wake it here; what it does then is read.
        let _ = this.poll_silence(context);
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

    /// Ready at `until`, which may be another time than the last time it was asked. One that is later is waited for when
    /// the earlier one has come, so that most requests don't move the timer.
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
