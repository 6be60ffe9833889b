//! The catalogue. First what all arms promise, then that they answer alike, then how they differ.

mod answers;
mod bad_input;
mod facets;
mod facets_follow_changes;
mod flat_facets;
mod following_next;
mod posting_reviews;

#[cfg(feature = "baselines")]
mod arms_agree;
mod every_statement;

mod cache;
mod changes;
mod indexes;
mod invalidation;
mod listing;
mod pagination;
#[cfg(feature = "baselines")]
mod projection;
mod reference;
mod replica;
mod search;
mod single_flight;
mod worst_list;
