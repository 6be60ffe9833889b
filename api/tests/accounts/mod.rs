//! Who buys: registering, signing in and out, and what is refused to whom.

pub mod people;

mod operations;

mod arms_agree;
mod contract;

mod bodies;
mod declared;
mod tokens;
mod who_may;

mod attempts;
mod refresh;

mod password_hashing;
mod sessions;
mod welcome_email;

mod create_admin;
mod merging_carts;
