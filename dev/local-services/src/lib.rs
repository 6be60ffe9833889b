//! Private Postgres, Redis and RabbitMQ servers on this machine, for tests, `make up` and the lab.
//!
//! [`Services::start`] starts the servers that aren't running, with their own ports, data and passwords under
//! `.backstock/`, and joins those that are. Servers are reference-counted: every user holds a shared lock, which the
//! kernel releases when its process ends for any reason. A watchdog waits for the exclusive lock and then stops the
//! servers. A server that an environment URL names is used as it is.
//!
//! Read next: [`Services`] for the start, `watchdog.sh` for the stop.

mod amqp;
mod binaries;
mod data_dirs;
mod epmd;
mod external;
mod install;
mod isolated_servers;
mod locks;
mod os_user;
mod paths;
mod ports;
mod postgres;
mod process;
mod rabbitmq;
mod redis;
mod services;

pub use install::{install_missing, install_tool};
pub use isolated_servers::with_isolated_servers;
pub use paths::{home_dir, workspace_root};
pub use ports::DEFAULT_PORT_BASE;
pub use services::{Services, StopOutcome, status, stop_unused};

/// What servers are started for. Each purpose has its own servers, ports and data, so that tests never touch the shop's
/// data and both can run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `make up` and the lab: data is kept and commits are durable, because their cost is part of the measurements.
    Shop,
    /// Tests: data needn't survive a power failure, so fsync is off.
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
