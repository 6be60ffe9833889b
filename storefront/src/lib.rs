//! What the api and the worker share: the variants, the settings, the value types, and the way to each store.
//! It knows no HTTP. Read first: [`variants`].

pub mod variants;
