//! The harness. [`shop::TestShop`] is the real service with its own database; the other modules support it.

pub mod shop;

pub mod arms;
pub mod catalogue;
pub mod people;
pub mod response;

pub mod database;
pub mod servers;

pub mod gateway;
pub mod simulators;

pub mod postgres_proxy;
pub mod private_redis;
pub mod process;

mod poll;

pub use self::poll::until;
