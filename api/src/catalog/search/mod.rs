//! How products are found by words: the lesson `search`. An arm turns the text of `q` into a [`Matching`], the SQL
//! condition and rank that lists and facets put into their statements; that of words is also given as a query that the
//! planner sees ([`Matching::text_query`]).
//!
//! Both arms promise products that hold the words. They differ in what else they find (`docs/lessons/search.md`).

#[cfg(feature = "baselines")]
pub mod like;

pub mod full_text;

use sqlx::{Postgres, QueryBuilder};
use storefront::variants;

use self::full_text::TextQuery;
use crate::database::Session;

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

    /// Whether there is another matching for texts that the first finds nothing for.
    pub fn has_second_matching(self) -> bool {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like => false,
            Self::FullText => true,
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
    /// The words that are most similar to those of a text that nothing matched.
    Similar(full_text::Similar),
}

impl Matching {
    /// The query of words, to be matched with documents: `Some(None)` when it was corrected to nothing, `None` when the arm
    /// has no such queries.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn text_query(
        &self,
        session: &mut Session<'_>,
    ) -> Result<Option<Option<TextQuery>>, sqlx::Error> {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(_) => Ok(None),
            Self::Words(words) => Ok(Some(Some(words.text_query()))),
            Self::Similar(similar) => {
                let corrected = sqlx::query_scalar!("select corrected_query($1)::text", similar.text());
                Ok(Some(corrected.fetch_one(session).await?.map(TextQuery::Lexemes)))
            }
        }
    }

    /// Appends what has to be joined to `products p`.
    pub fn push_join(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(_) => {}
            Self::Words(_) | Self::Similar(_) => {
                sql.push(full_text::JOIN);
            }
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

    /// Appends the rank: a `bigint`, the higher the better.
    pub fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(pattern) => pattern.push_rank(sql),
            Self::Words(words) => words.push_rank(sql),
            Self::Similar(similar) => similar.push_rank(sql),
        }
    }
}
