//! The catalogue.

pub mod bad_input;
pub mod facet_cost;
pub mod facet_updates;
mod facets;
pub mod page_traversal;
pub mod pagination;
mod post_review;
mod responses;

pub mod listing;
pub mod search;
pub mod statement_combinations;
pub mod worst_list;

pub mod indexes;

pub mod cache;
mod change_feed;
mod invalidation;
mod reference;
mod replica;
mod single_flight;
