//! Tests of the worker as real processes, with Postgres and RabbitMQ of `local-services`, and with the simulators
//! as third parties.
//!
//! Each test has its own database and virtual host. Read `support/` first.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod abandoned_carts;
mod background_tasks;
mod broker_restart;
mod consumers;
mod crashes;
mod dead_letters;
mod health;
mod indexes;
mod order_backoff;
mod process;
mod relay;
mod sales_counts;

#[cfg(feature = "baselines")]
mod arms;
