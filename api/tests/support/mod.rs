//! The harness. [`shop::TestShop`] is the real service over a database of its own; the rest are its instruments.

pub mod shop;

pub mod answer;
pub mod arms;
pub mod catalogue;
pub mod people;

pub mod database;
pub mod servers;

pub mod gateway;
pub mod simulators;

pub mod private_redis;
pub mod process;
pub mod wire;

mod waiting;

pub use self::waiting::until;
