//! Customer accounts: registering, signing in and out, and what each client is denied.

pub mod people;

mod operations;

mod contract;

mod access_tokens;
mod authorization;
mod openapi_conformance;
mod request_bodies;

pub mod refresh_tokens;
mod sign_in_limits;

pub mod password_hashing;
pub mod sessions;
pub mod welcome_email;

mod cart_merge;
mod create_admin;
