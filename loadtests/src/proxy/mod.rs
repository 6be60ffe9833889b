//! Distance: a TCP proxy that delays each chunk by a fixed time in either direction, and counts what passes.
//!
//! On loopback a round trip is free, which hides what N+1 queries, caches and sessions cost across a real network. The
//! lab puts a [`Proxy`] between the api and each of its stores, also where the delay is zero: then it counts bytes and
//! round trips. Bandwidth is not limited. Read next: `relay.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};

/// A running proxy in front of one store. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
}

/// What has passed a proxy since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes from the store to its client.
    pub bytes_to_client: u64,
    /// Bytes from the client to the store.
    pub bytes_to_server: u64,
    /// How often the store answered: changes of direction from "client speaks" to "store speaks", a connection each.
    /// Exact where requests and answers alternate, as in Postgres without pipelining.
    pub round_trips: u64,
    /// Connections that clients have made.
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
    /// Listens on a free loopback port and forwards to `upstream`, each chunk later by `one_way_delay`.
    pub fn start(_upstream: SocketAddr, _one_way_delay: Duration) -> Result<Proxy> {
        bail!("the proxy is not built yet")
    }

    /// Like [`Proxy::start`], in front of the store that a URL such as `postgres://user@127.0.0.1:5432/shop` names.
    pub fn in_front_of(_url: &str, _one_way_delay: Duration) -> Result<Proxy> {
        bail!("the proxy is not built yet")
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL with the proxy in place of the store's host and port.
    pub fn through(&self, _url: &str) -> Result<String> {
        bail!("the proxy is not built yet")
    }

    /// Changes the delay for every chunk that arrives from now on.
    pub fn set_delay(&self, _one_way_delay: Duration) {}

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
