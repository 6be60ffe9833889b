//! What differs between the arms of each lesson, and that they agree otherwise. Deleting this folder deletes the tests of
//! the baselines.

mod agree;

mod baseline_preset;
mod catalog_cache;
mod checkout;
mod compression;
mod connections;
mod disconnected_clients;
mod events;
mod facets;
mod index_sets;
mod indexes;
mod listing;
mod order_history;
mod order_lines;
mod page_traversal;
mod pagination;
mod password_hashing;
mod planner_estimates;
mod projection;
mod reservation;
mod search;
mod selection;
mod sessions;
mod stock;
mod welcome_email;
