//! The behavior of the shop while one of its dependencies fails.

mod postgres;
mod redis;
