//! The ports of the private servers: one block a purpose, away from the standard ports and from the ephemeral range.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};

use crate::Purpose;

/// The first port when `BACKSTOCK_PORT_BASE` is not set. The shop uses the five ports from here, the tests the five
/// from 10 above. Below 32768, where Linux begins to hand out ports for outgoing connections.
pub const DEFAULT_PORT_BASE: u16 = 27600;

/// From the shop's block of ports to the tests'.
const TESTS_OFFSET: u16 = 10;

/// The ports of one purpose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) postgres: u16,
    pub(crate) redis: u16,
    pub(crate) amqp: u16,
    /// Erlang's port mapper, which RabbitMQ asks for its own node.
    pub(crate) epmd: u16,
    /// Where `rabbitmqctl` reaches the node.
    pub(crate) distribution: u16,
}

impl Ports {
    pub(crate) fn of(purpose: Purpose) -> Result<Ports> {
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

/// Fails with what to do when another program listens on the port.
pub(crate) fn check_free(port: u16, server: &str) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Err(fault) = TcpListener::bind(address) {
        bail!(
            "{server} needs port {port}, which is busy ({fault}): end the program that uses it, or set \
             BACKSTOCK_PORT_BASE to the first of 20 free ports, for example BACKSTOCK_PORT_BASE={}",
            suggestion(port)
        );
    }
    Ok(())
}

fn suggestion(busy: u16) -> u16 {
    if busy < 28000 { 28600 } else { 24600 }
}
