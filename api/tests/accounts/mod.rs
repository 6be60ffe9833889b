//! Customer accounts: registering, signing in and out, and what each client is denied.

pub mod people;

mod operations;

mod arms_agree;
mod contract;

mod access_tokens;
mod authorization;
mod openapi_conformance;
mod request_bodies;

mod refresh_tokens;
mod sign_in_limits;

mod password_hashing;
mod sessions;
mod welcome_email;

mod cart_merge;
mod create_admin;
