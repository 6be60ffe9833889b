//! The worker as real processes, against real servers: Postgres and RabbitMQ of `local-services`, and the simulators as
//! third parties.
//!
//! Each test has a database and a virtual host of its own. Read `support/` first.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod abandoned_carts;
mod broker_restart;
mod consumers;
mod crashes;
mod dead_letters;
mod health;
mod indexes;
mod process;
mod put_back;
mod relay;
mod sales_counts;
mod upkeep;
