//! Private Postgres, Redis and RabbitMQ servers on this machine, for tests, `make up` and the lab.
//!
//! [`Services::start`] starts what does not run yet, with ports, data and passwords of its own under `.backstock/`,
//! and joins what runs already. A server lives as long as any process uses it: users share a lock that the kernel
//! drops when they end, however they end, and a guardian that waits for the lock then stops the servers. Where an
//! environment URL names a server, that one is used and nothing is started for it.
//!
//! Read next: [`Services`] for the way through a start, `guardian.sh` for the way through a stop.

mod account;
mod amqp;
mod binaries;
mod epmd;
mod external;
mod home;
mod install;
mod locks;
mod own;
mod place;
mod ports;
mod postgres;
mod process;
mod rabbitmq;
mod redis;
mod services;

pub use home::{home, workspace_root};
pub use install::{install_missing, install_tool};
pub use own::with_own_servers;
pub use ports::DEFAULT_PORT_BASE;
pub use services::{Services, Stopped, status, stop_unused};

/// What servers are started for. Each purpose has servers, ports and data of its own, so that tests never touch the
/// shop's data, and both can run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `make up` and the lab: data is kept and commits are durable, because their cost is part of what is measured.
    Shop,
    /// Tests: nothing has to survive a power cut, so nothing waits for the disk.
    Tests,
}

impl Purpose {
    /// The directory below `.backstock/`.
    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Shop => "shop",
            Purpose::Tests => "tests",
        }
    }
}
