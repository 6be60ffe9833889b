//! One kept-alive HTTP/1.1 connection of the generator.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Errors, Outcome, Request, Target};

/// How long an answer may take, and a connection to be made. Longer than any deadline of the product, so that its own
/// refusals are seen.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// The pause after a connection was refused, so that a server that is down is asked again and not hammered.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// How long a connection may have carried nothing to be used once more. A server closes idle connections, and one that
/// does so while a request is on its way leaves it without an answer: a client has to be the first, well before the
/// shortest of the product's deadlines, the ten seconds that a new connection has for its first request.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// An answer that has come completely.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// When its head was there.
    pub(super) head_at: Instant,
    /// Bytes of its body.
    pub(super) bytes: u64,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure {
    Connect,
    Timeout,
    Broken,
}

impl Failure {
    pub(super) fn count(self, errors: &mut Errors) {
        match self {
            Failure::Connect => errors.connect += 1,
            Failure::Timeout => errors.timeout += 1,
            Failure::Broken => errors.broken += 1,
        }
    }
}

/// A connection that is made when it is first needed, and again after it broke.
pub(super) struct Connection {
    target: Target,
    open: Option<Open>,
    wire_bytes: Arc<AtomicU64>,
    idle_limit: Duration,
}

pub(super) struct Open {
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// When it was made, or its last answer was complete.
    idle_since: Instant,
    driver: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // An abandoned request would otherwise keep its socket until the server answers.
        self.driver.abort();
    }
}

impl Connection {
    pub(super) fn new(target: &Target, wire_bytes: &Arc<AtomicU64>) -> Connection {
        Connection {
            target: target.clone(),
            open: None,
            wire_bytes: Arc::clone(wire_bytes),
            idle_limit: IDLE_LIMIT,
        }
    }

    /// Connects beforehand, so that no measured request pays for it. A failure shows at the first request.
    pub(super) async fn connect_early(&mut self) {
        if let Ok(Ok(open)) =
            tokio::time::timeout(ANSWER_PATIENCE, connect(&self.target, &self.wire_bytes)).await
        {
            self.open = Some(open);
        }
    }

    /// Sends a request and reads its answer to the end.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        let asked = tokio::time::timeout(ANSWER_PATIENCE, self.ask_patiently(request)).await;
        let answer = asked.unwrap_or(Err(Failure::Timeout));
        if let Err(failure) = answer {
            self.open = None;
            if matches!(failure, Failure::Connect) {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
        answer
    }

    async fn ask_patiently(&mut self, request: &Request) -> Result<Answer, Failure> {
        let is_usable = |open: &Open| !open.sender.is_closed() && open.idle_since.elapsed() < self.idle_limit;
        if !self.open.as_ref().is_some_and(is_usable) {
            self.open = Some(
                connect(&self.target, &self.wire_bytes)
                    .await
                    .map_err(|_| Failure::Connect)?,
            );
        }
        let open = self.open.as_mut().expect("the connection was made above");
        // A server closes a connection right after its last answer: then ready() fails although nothing was sent.
        if open.sender.ready().await.is_err() {
            *open = connect(&self.target, &self.wire_bytes)
                .await
                .map_err(|_| Failure::Connect)?;
        }
        let sent = open.sender.send_request(self.target.message(request));
        let mut response = sent.await.map_err(|_| Failure::Broken)?;
        let head_at = Instant::now();
        let mut bytes = 0;
        while let Some(frame) = response.body_mut().frame().await {
            let frame = frame.map_err(|_| Failure::Broken)?;
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        open.idle_since = Instant::now();
        Ok(Answer {
            status: response.status(),
            head_at,
            bytes,
        })
    }
}

impl Target {
    pub(crate) fn message(&self, request: &Request) -> hyper::Request<Full<Bytes>> {
        let mut message = hyper::Request::new(Full::new(request.body.clone()));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = request.path.clone();
        let headers = message.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.extend(request.headers.iter().cloned());
        message
    }
}

/// Files what became of a request whose latency counts from `since`.
pub(super) fn file(outcome: &mut Outcome, class: u16, since: Instant, result: Result<Answer, Failure>) {
    match result {
        Ok(answer) if answer.status.as_u16() >= 400 => {
            let kind = (class, answer.status.as_u16());
            *outcome.errors.statuses.entry(kind).or_default() += 1;
        }
        Ok(answer) => outcome.record(class, answer.head_at - since, since.elapsed(), answer.bytes),
        Err(failure) => failure.count(&mut outcome.errors),
    }
}

pub(super) async fn connect(target: &Target, wire_bytes: &Arc<AtomicU64>) -> io::Result<Open> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    let counted = CountedStream {
        stream,
        read: Arc::clone(wire_bytes),
    };
    let (sender, connection) = http1::handshake(TokioIo::new(counted))
        .await
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(async move {
        // Its error reaches whoever waits for an answer on this connection.
        let _ = connection.await;
    });
    Ok(Open {
        sender,
        idle_since: Instant::now(),
        driver,
    })
}

/// A socket that counts what is read from it.
struct CountedStream {
    stream: TcpStream,
    read: Arc<AtomicU64>,
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read
            .fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request of each connection, and closes it as the second arrives: as a server does whose idle deadline
    /// ends while a request is on its way.
    async fn server_that_closes_under_the_second() -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    let _ = stream.read(&mut head).await;
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await;
                    let _ = stream.read(&mut head).await;
                });
            }
        });
        target
    }

    #[tokio::test]
    async fn a_connection_that_was_idle_for_too_long_is_not_used_again() {
        let target = server_that_closes_under_the_second().await;
        let request = Request::get("/").unwrap();
        let mut kept = Connection::new(&target, &Arc::default());
        assert!(kept.ask(&request).await.is_ok());
        assert!(matches!(kept.ask(&request).await, Err(Failure::Broken)));

        let mut careful = Connection::new(&target, &Arc::default());
        careful.idle_limit = Duration::ZERO;
        careful.connect_early().await;
        for _ in 0..3 {
            assert!(careful.ask(&request).await.is_ok());
        }
    }
}
