//! A TCP proxy in front of a store or a service. It adds latency, counts traffic, and injects network faults.
//!
//! On loopback a round trip is free, which hides what N+1 queries, caches and sessions cost across a real network, so
//! the lab measures through a [`Proxy`] with a delay. Tests inspect or swallow what passes ([`Proxy::inspecting`]),
//! and simulate a network that is down ([`Proxy::cut`]) or loses everything silently ([`Proxy::blackhole`]).
//! Bandwidth is not limited. Read next: `forward.rs`.

mod forward;
pub mod postgres;
mod store_address;
mod timer;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use forward::{Inspector, Shared};
pub use store_address::StoreAddress;
pub use timer::PreciseTimer;

/// A running proxy in front of one server. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// `None` while the proxy is cut.
    forwarder: Mutex<Option<Forwarder>>,
}

/// The way that bytes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Responses,
}

/// What to do with a chunk of bytes that was inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Forward,
    /// Drop it silently. Neither side learns of it.
    Swallow,
}

/// The traffic through a proxy since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes from the server to its clients.
    pub bytes_to_client: u64,
    /// Bytes from the clients to the server.
    pub bytes_to_server: u64,
    /// How often the server answered: changes from "the client sends" to "the server sends" on a connection. Exact where
    /// requests and responses alternate, as in Postgres without pipelining. On a multiplexed connection (Redis),
    /// requests that overlap count once.
    pub round_trips: u64,
    /// Connections that clients have made. Each costs a round trip of its own, which `round_trips` does not count.
    pub connections: u64,
}

impl Counters {
    /// The traffic since an earlier reading.
    pub fn since(&self, before: &Counters) -> Counters {
        Counters {
            bytes_to_client: self.bytes_to_client - before.bytes_to_client,
            bytes_to_server: self.bytes_to_server - before.bytes_to_server,
            round_trips: self.round_trips - before.round_trips,
            connections: self.connections - before.connections,
        }
    }
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `upstream`, each chunk later by `one_way_delay`. Runs on a thread
    /// of its own, so that no other task of the process adds to the delay.
    pub fn start(upstream: SocketAddr, one_way_delay: Duration) -> Result<Proxy> {
        Proxy::launch(Shared::new(upstream, one_way_delay, None))
    }

    /// Like [`Proxy::start`], in front of the server of a URL such as `postgres://user@127.0.0.1:5432/shop`.
    pub fn in_front_of(url: &str, one_way_delay: Duration) -> Result<Proxy> {
        Proxy::start(StoreAddress::parse(url)?.resolve()?, one_way_delay)
    }

    /// Calls an inspector with each chunk before it is forwarded, in the order in which they arrive. Each connection has
    /// an inspector of its own, which `inspector` makes.
    pub fn inspecting<I>(url: &str, inspector: impl Fn() -> I + Send + Sync + 'static) -> Result<Proxy>
    where
        I: FnMut(Direction, &[u8]) -> Verdict + Send + 'static,
    {
        let upstream = StoreAddress::parse(url)?.resolve()?;
        let inspector = move || Arc::new(Mutex::new(inspector())) as Inspector;
        Proxy::launch(Shared::new(upstream, Duration::ZERO, Some(Box::new(inspector))))
    }

    fn launch(shared: Shared) -> Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port for a proxy")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(shared);
        let forwarder = Forwarder::start(listener, Arc::clone(&shared))?;
        Ok(Proxy {
            address,
            shared,
            forwarder: Mutex::new(Some(forwarder)),
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL with the proxy in place of the server's host and port.
    pub fn through(&self, url: &str) -> Result<String> {
        StoreAddress::parse(url)?.with_address(self.address)
    }

    /// Changes the delay of every chunk that arrives from now on.
    pub fn set_delay(&self, one_way_delay: Duration) {
        self.shared.set_delay(one_way_delay);
    }

    /// The traffic so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Swallows everything in this direction from now on, until [`Proxy::restore`]: the network of a machine that goes
    /// just before the machine dies.
    pub fn blackhole(&self, direction: Direction) {
        self.shared.blackhole(direction);
    }

    /// Closes all connections and refuses new ones, until [`Proxy::restore`].
    pub fn cut(&self) {
        *self.forwarder() = None;
    }

    /// Ends a fault. Connections from before are closed, because bytes of theirs may be missing.
    pub fn restore(&self) -> Result<()> {
        self.shared.end_blackhole();
        let mut forwarder = self.forwarder();
        if forwarder.is_none() {
            let listener =
                TcpListener::bind(self.address).context("another program took the proxy's port")?;
            *forwarder = Some(Forwarder::start(listener, Arc::clone(&self.shared))?);
        }
        Ok(())
    }

    fn forwarder(&self) -> MutexGuard<'_, Option<Forwarder>> {
        self.forwarder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that forwards. Dropping it closes the listener and all connections before it returns.
#[derive(Debug)]
struct Forwarder {
    /// The thread ends when this is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    fn start(listener: TcpListener, shared: Arc<Shared>) -> Result<Forwarder> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let forward = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = forward::accept(listener, shared) => {}
                    // An error means that the sender was dropped.
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("tcp-proxy".to_owned())
            .spawn(forward)?;
        Ok(Forwarder {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed its connections, too.
            let _ = thread.join();
        }
    }
}
