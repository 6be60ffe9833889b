//! The behavior of the shop while one of its dependencies fails.

pub mod postgres;
mod redis;
