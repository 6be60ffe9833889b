//! Distance: a TCP proxy that delays each chunk by a fixed time in either direction, and counts what passes.
//!
//! On loopback a round trip is free, which hides what N+1 queries, caches and sessions cost across a real network. The
//! lab puts a [`Proxy`] between the api and each of its stores, also where the delay is zero: then it only counts.
//! Bandwidth is not limited. Read next: `relay.rs`.

mod relay;
mod store_address;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use relay::Shared;
pub(crate) use store_address::StoreAddress;

/// A running proxy in front of one store. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The thread ends when this is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What has passed a proxy since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes from the store to its client.
    pub bytes_to_client: u64,
    /// Bytes from the client to the store.
    pub bytes_to_server: u64,
    /// How often a store answered: changes from "the client speaks" to "the store speaks" on a connection. Exact where
    /// requests and answers alternate, as in Postgres without pipelining; on a connection that several requests share
    /// (Redis, multiplexed) those that overlap count once.
    pub round_trips: u64,
    /// Connections that clients have made. Each costs a round trip of its own, which `round_trips` does not count.
    pub connections: u64,
}

impl Counters {
    /// What has passed since an earlier reading.
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
    /// of its own, so that no other task of the lab adds to the delay.
    pub fn start(upstream: SocketAddr, one_way_delay: Duration) -> Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port for a proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared::new(upstream, one_way_delay));
        let (stop, stopped) = oneshot::channel();
        let at_work = Arc::clone(&shared);
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = relay::accept(listener, at_work) => {}
                    // An error means that the sender is dropped, which is how a proxy is stopped.
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("delay-proxy".to_owned())
            .spawn(work)?;
        Ok(Proxy {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Like [`Proxy::start`], in front of the store that a URL such as `postgres://user@127.0.0.1:5432/shop` names.
    pub fn in_front_of(url: &str, one_way_delay: Duration) -> Result<Proxy> {
        Proxy::start(StoreAddress::of(url)?.resolve()?, one_way_delay)
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL with the proxy in place of the store's host and port.
    pub fn through(&self, url: &str) -> Result<String> {
        StoreAddress::of(url)?.replaced_by(self.address)
    }

    /// Changes the delay of every chunk that arrives from now on.
    pub fn set_delay(&self, one_way_delay: Duration) {
        self.shared.set_delay(one_way_delay);
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed its connections, too.
            let _ = thread.join();
        }
    }
}
