//! A chunk's way through the proxy: read, counted, inspected, stamped with the moment when it is due, queued, written.
//!
//! Reading never waits for writing, so chunks that follow each other closely are each late by the same delay, as on a
//! long line; only the total in flight is bounded.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Counters, Direction, PreciseTimer, Verdict};

/// The size of one read, at most.
const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks in flight in one direction of one connection, at most 64 MiB: a receiver that stopped reading then stops
/// the sender, as a full socket buffer would.
const CHUNKS_IN_FLIGHT: usize = 4096;

/// Sees the chunks of one connection in both directions.
pub(super) type Inspector = Arc<Mutex<dyn FnMut(Direction, &[u8]) -> Verdict + Send>>;

/// What all connections of a proxy share.
pub(super) struct Shared {
    upstream: SocketAddr,
    /// Makes the inspector of a new connection.
    inspector: Option<Box<dyn Fn() -> Inspector + Send + Sync>>,
    fault: watch::Sender<Fault>,
    delay_ns: AtomicU64,
    bytes_to_client: AtomicU64,
    bytes_to_server: AtomicU64,
    round_trips: AtomicU64,
    connections: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    blackhole: Option<Direction>,
    /// Connections of an earlier epoch are closed.
    epoch: u64,
}

impl Shared {
    pub(super) fn new(
        upstream: SocketAddr,
        delay: Duration,
        inspector: Option<Box<dyn Fn() -> Inspector + Send + Sync>>,
    ) -> Shared {
        let no_fault = Fault {
            blackhole: None,
            epoch: 0,
        };
        let shared = Shared {
            upstream,
            inspector,
            fault: watch::Sender::new(no_fault),
            delay_ns: AtomicU64::new(0),
            bytes_to_client: AtomicU64::new(0),
            bytes_to_server: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        };
        shared.set_delay(delay);
        shared
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        let nanoseconds = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.delay_ns.store(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            bytes_to_client: self.bytes_to_client.load(Ordering::Relaxed),
            bytes_to_server: self.bytes_to_server.load(Ordering::Relaxed),
            round_trips: self.round_trips.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }

    pub(super) fn blackhole(&self, direction: Direction) {
        self.fault.send_modify(|fault| fault.blackhole = Some(direction));
    }

    pub(super) fn end_blackhole(&self) {
        self.fault.send_modify(|fault| {
            *fault = Fault {
                blackhole: None,
                epoch: fault.epoch + 1,
            };
        });
    }

    fn delay(&self) -> Duration {
        Duration::from_nanos(self.delay_ns.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("upstream", &self.upstream)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// Accepts clients until the proxy is cut or dropped.
pub(super) async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return; // The runtime is shutting down: no client will connect.
    };
    loop {
        // A client that went away before it was accepted is no reason to stop.
        if let Ok((client, _)) = listener.accept().await {
            shared.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(forward(client, Arc::clone(&shared)));
        }
    }
}

/// Forwards one client's connection. A failure on one side shows on the other as a closed connection.
async fn forward(client: TcpStream, shared: Arc<Shared>) {
    let accepted = Instant::now();
    let mut fault = shared.fault.subscribe();
    let epoch = fault.borrow_and_update().epoch;
    let Ok(server) = TcpStream::connect(shared.upstream).await else {
        return;
    };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let connection = Arc::new(Connection {
        // Across a real distance the client may send only when its connection has been made, one round trip later.
        connected: accepted + 2 * shared.delay(),
        epoch,
        client_spoke: AtomicBool::new(false),
        inspector: shared.inspector.as_ref().map(|inspector| inspector()),
        shared,
    });
    let mut directions = JoinSet::new();
    directions.spawn(carry(
        Arc::clone(&connection),
        Direction::Requests,
        from_client,
        to_server,
    ));
    directions.spawn(carry(connection, Direction::Responses, from_server, to_client));
    let both_ended = async { while directions.join_next().await.is_some() {} };
    tokio::select! {
        () = both_ended => {}
        _ = fault.wait_for(|fault| fault.epoch != epoch) => {}
    }
}

/// What both directions of a connection share.
struct Connection {
    shared: Arc<Shared>,
    connected: Instant,
    epoch: u64,
    /// Whether the client has sent something since the server last did.
    client_spoke: AtomicBool,
    inspector: Option<Inspector>,
}

/// A chunk, or the end of the stream when it is empty, and when it arrives.
struct InFlight {
    due: Instant,
    bytes: Bytes,
}

async fn carry(connection: Arc<Connection>, direction: Direction, from: OwnedReadHalf, to: OwnedWriteHalf) {
    let (send, receive) = mpsc::channel(CHUNKS_IN_FLIGHT);
    // When writing ends first, its end of the queue is dropped and reading ends at its next chunk; that chunk's
    // sender learns of it from the other direction, which the same broken socket ends.
    tokio::join!(connection.read(direction, from, send), write(receive, to));
}

impl Connection {
    async fn read(&self, direction: Direction, mut from: OwnedReadHalf, queue: mpsc::Sender<InFlight>) {
        let mut buffer = BytesMut::new();
        let mut last_due = self.connected;
        loop {
            buffer.reserve(CHUNK_BYTES);
            // A reset reaches the other side as an ordinary end.
            let length = from.read_buf(&mut buffer).await.unwrap_or(0);
            let bytes = buffer.split().freeze();
            self.count(direction, length);
            let fault = *self.shared.fault.borrow();
            if fault.epoch != self.epoch {
                return;
            }
            // The end of a stream passes a blackhole.
            let is_swallowed = length > 0
                && (fault.blackhole == Some(direction)
                    || self.inspect(direction, &bytes) == Verdict::Swallow);
            if is_swallowed {
                continue;
            }
            // Never before an earlier chunk, even when the delay has been lowered meanwhile.
            last_due = last_due.max(Instant::now().max(self.connected) + self.shared.delay());
            let chunk = InFlight { due: last_due, bytes };
            if queue.send(chunk).await.is_err() || length == 0 {
                return;
            }
        }
    }

    fn inspect(&self, direction: Direction, bytes: &[u8]) -> Verdict {
        let Some(inspector) = &self.inspector else {
            return Verdict::Forward;
        };
        let mut inspector = inspector.lock().unwrap_or_else(PoisonError::into_inner);
        inspector(direction, bytes)
    }

    fn count(&self, direction: Direction, length: usize) {
        let shared = &self.shared;
        match direction {
            _ if length == 0 => {}
            Direction::Requests => {
                shared.bytes_to_server.fetch_add(length as u64, Ordering::Relaxed);
                self.client_spoke.store(true, Ordering::Relaxed);
            }
            Direction::Responses => {
                shared.bytes_to_client.fetch_add(length as u64, Ordering::Relaxed);
                if self.client_spoke.swap(false, Ordering::Relaxed) {
                    shared.round_trips.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Writes each chunk when it is due. Ends with the stream, or when the socket or the timer fails: dropping both halves
/// then closes the connection.
async fn write(mut queue: mpsc::Receiver<InFlight>, mut to: OwnedWriteHalf) {
    let _ = write_until_the_end(&mut queue, &mut to).await;
    let _ = to.shutdown().await;
}

async fn write_until_the_end(queue: &mut mpsc::Receiver<InFlight>, to: &mut OwnedWriteHalf) -> Result<()> {
    let mut timer = PreciseTimer::new()?;
    while let Some(chunk) = queue.recv().await {
        timer.sleep_until(chunk.due).await?;
        if chunk.bytes.is_empty() {
            return Ok(());
        }
        to.write_all(&chunk.bytes).await?;
    }
    Ok(())
}
