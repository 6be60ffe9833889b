//! The ports of the private servers: one block per purpose, apart from the standard ports and the ephemeral range.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};

use crate::Purpose;

/// The first port unless `BACKSTOCK_PORT_BASE` is set. The shop uses five ports from here, the tests five from
/// `TESTS_OFFSET` higher. They are below 32768, where Linux's ephemeral range begins.
pub const DEFAULT_PORT_BASE: u16 = 27600;

const TESTS_OFFSET: u16 = 10;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) postgres: u16,
    pub(crate) redis: u16,
    pub(crate) amqp: u16,
    /// Erlang's port mapper, where RabbitMQ's node registers.
    pub(crate) epmd: u16,
    /// The port on which `rabbitmqctl` reaches the node.
    pub(crate) distribution: u16,
}

impl Ports {
    pub(crate) fn for_purpose(purpose: Purpose) -> Result<Ports> {
        let base = port_base()?;
        let first = match purpose {
            Purpose::Shop => base,
            Purpose::Tests => base + TESTS_OFFSET,
        };
        Ok(Ports {
            postgres: first,
            redis: first + 1,
            amqp: first + 2,
            epmd: first + 3,
            distribution: first + 4,
        })
    }
}

fn port_base() -> Result<u16> {
    let Ok(text) = env::var("BACKSTOCK_PORT_BASE") else {
        return Ok(DEFAULT_PORT_BASE);
    };
    match text.parse() {
        Ok(base @ 1024..=65000) => Ok(base),
        _ => bail!(
            "BACKSTOCK_PORT_BASE={text}: expected a port from 1024 to 65000, for example {DEFAULT_PORT_BASE}"
        ),
    }
}

/// Fails with a hint when the port is in use.
pub(crate) fn check_free(port: u16, server: &str) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Err(error) = TcpListener::bind(address) {
        bail!(
            "{server} needs port {port}, which is busy ({error}): end the program that uses it, or set \
             BACKSTOCK_PORT_BASE to the first of 20 free ports, for example BACKSTOCK_PORT_BASE={}",
            suggested_base(port)
        );
    }
    Ok(())
}

/// A base whose block doesn't contain the busy port.
fn suggested_base(busy: u16) -> u16 {
    if busy < 28000 { 28600 } else { 24600 }
}
