//! The way of a chunk through the proxy: read, counted, stamped with the moment when it is due, queued, written then.
//!
//! Reading never waits for writing, so chunks that follow each other closely are each late by the same delay, as on a
//! long line; only the total in flight is bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::Counters;
use crate::load::PreciseTimer;

/// The size of one read, at most.
const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks in flight in one direction of one connection, at most 64 MiB: a receiver that stopped reading then stops
/// the sender, as a full socket buffer would.
const CHUNKS_IN_FLIGHT: usize = 4096;

/// What all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    upstream: SocketAddr,
    delay_ns: AtomicU64,
    bytes_to_client: AtomicU64,
    bytes_to_server: AtomicU64,
    round_trips: AtomicU64,
    connections: AtomicU64,
}

impl Shared {
    pub(super) fn new(upstream: SocketAddr, delay: Duration) -> Shared {
        let shared = Shared {
            upstream,
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

    fn delay(&self) -> Duration {
        Duration::from_nanos(self.delay_ns.load(Ordering::Relaxed))
    }
}

/// Accepts clients until the proxy is dropped.
pub(super) async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return; // The runtime is shutting down: nobody will connect.
    };
    loop {
        // A client that went away before it was accepted is no reason to stop.
        if let Ok((client, _)) = listener.accept().await {
            shared.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(relay(client, Arc::clone(&shared)));
        }
    }
}

/// One client's connection. What fails on one side shows on the other as a closed connection.
async fn relay(client: TcpStream, shared: Arc<Shared>) {
    let accepted = Instant::now();
    let Ok(server) = TcpStream::connect(shared.upstream).await else {
        return;
    };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let client_spoke = Arc::new(AtomicBool::new(false));
    // Across a real distance the client may speak only when its connection has been made, one round trip later.
    let connected = accepted + 2 * shared.delay();
    let requests = Direction {
        to: Side::Server,
        shared: Arc::clone(&shared),
        client_spoke: client_spoke.clone(),
    };
    let answers = Direction {
        to: Side::Client,
        shared,
        client_spoke,
    };
    tokio::spawn(answers.carry(from_server, to_client, connected));
    requests.carry(from_client, to_server, connected).await;
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

struct Direction {
    to: Side,
    shared: Arc<Shared>,
    /// Whether the client has spoken since the server last did.
    client_spoke: Arc<AtomicBool>,
}

/// A chunk, or the end of the stream when it is empty, and when it arrives.
struct InFlight {
    due: Instant,
    bytes: Bytes,
}

impl Direction {
    async fn carry(self, from: OwnedReadHalf, to: OwnedWriteHalf, not_before: Instant) {
        let (send, receive) = mpsc::channel(CHUNKS_IN_FLIGHT);
        // When writing ends first, its end of the queue is dropped and reading ends at its next chunk; that chunk's
        // sender learns of it from the other direction, which the same broken socket ends.
        tokio::join!(self.read(from, send, not_before), write(receive, to));
    }

    async fn read(self, mut from: OwnedReadHalf, queue: mpsc::Sender<InFlight>, not_before: Instant) {
        let mut buffer = BytesMut::new();
        let mut last_due = not_before;
        loop {
            buffer.reserve(CHUNK_BYTES);
            // A reset reaches the other side as an ordinary end.
            let length = from.read_buf(&mut buffer).await.unwrap_or(0);
            self.count(length);
            // Never before an earlier chunk, even when the delay has been lowered meanwhile.
            last_due = last_due.max(Instant::now().max(not_before) + self.shared.delay());
            let chunk = InFlight {
                due: last_due,
                bytes: buffer.split().freeze(),
            };
            if queue.send(chunk).await.is_err() || length == 0 {
                return;
            }
        }
    }

    fn count(&self, length: usize) {
        let shared = &self.shared;
        match self.to {
            _ if length == 0 => {}
            Side::Server => {
                shared.bytes_to_server.fetch_add(length as u64, Ordering::Relaxed);
                self.client_spoke.store(true, Ordering::Relaxed);
            }
            Side::Client => {
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
