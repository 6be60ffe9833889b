//! How products are found by words: the lesson `search`. An arm turns the text of `q` into a [`Matching`], the SQL
//! condition and rank that lists and facets put into their statements.
//!
//! Both arms promise products that hold the words. They differ in what else they find (`docs/lessons/search.md`).

#[cfg(feature = "baselines")]
pub mod like;

pub mod full_text;

use sqlx::{Postgres, QueryBuilder};
use storefront::variants;

/// The arm of `search` that this process was built with.
#[derive(Debug, Clone, Copy)]
pub enum Search {
    /// See [`like`].
    #[cfg(feature = "baselines")]
    Like,
    /// See [`full_text`].
    FullText,
}

impl Search {
    /// Builds the arm.
    pub fn new(arm: variants::Search) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            variants::Search::Like => Self::Like,
            variants::Search::FullText => Self::FullText,
        }
    }

    /// What the text is matched with first.
    pub fn matching(self, text: &str) -> Matching {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like => Matching::Like(like::Pattern::new(text)),
            Self::FullText => Matching::Words(full_text::Words::new(text)),
        }
    }

    /// What the text is matched with when that finds nothing.
    pub fn second_matching(self, text: &str) -> Option<Matching> {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like => None,
            Self::FullText => Some(Matching::Similar(full_text::Similar::new(text))),
        }
    }
}

/// A text, ready to be looked for.
#[derive(Debug, Clone)]
pub enum Matching {
    /// See [`like`].
    #[cfg(feature = "baselines")]
    Like(like::Pattern),
    /// Whole words and prefixes.
    Words(full_text::Words),
    /// Titles that are similar to a text that no word matched.
    Similar(full_text::Similar),
}

impl Matching {
    /// Appends what has to be joined to `products p`.
    pub fn push_join(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(_) => {}
            Self::Words(_) => {
                sql.push(full_text::JOIN);
            }
            Self::Similar(_) => {}
        }
    }

    /// Appends the condition.
    pub fn push_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(pattern) => pattern.push_condition(sql),
            Self::Words(words) => words.push_condition(sql),
            Self::Similar(similar) => similar.push_condition(sql),
        }
    }

    /// Appends the rank: a `real`, the higher the better.
    pub fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(pattern) => pattern.push_rank(sql),
            Self::Words(words) => words.push_rank(sql),
            Self::Similar(similar) => similar.push_rank(sql),
        }
    }
}
