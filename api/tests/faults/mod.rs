//! What customers see while something that the shop depends on is broken.

mod postgres;
mod redis;
