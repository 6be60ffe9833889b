//! The catalogue: first the guarantees of all arms, then that all arms agree, then how they differ.

mod bad_input;
mod facet_cost;
mod facet_updates;
mod facets;
mod page_traversal;
mod post_review;
mod responses;

#[cfg(feature = "baselines")]
mod arms_agree;
mod statement_combinations;

mod cache;
mod change_feed;
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
