//! The domain that the api and the worker share. It has no routes. Read first: [`orders`], an order's transitions and their
//! lock order.

pub mod orders;
pub mod pricing;

pub mod cart_limits;
pub mod money;

pub mod access_token;
pub mod email_address;

pub mod emails;
pub mod messages;
pub mod schema;
pub mod third_parties;
