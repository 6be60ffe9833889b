//! Finds products by words: the lesson `search`. An arm converts the text of `q` to a [`Matching`], the SQL condition and
//! rank for the statements of lists and facets. For words, there is also a query whose value the planner sees
//! ([`Matching::text_query`]).
//!
//! Both arms find products that contain the words. They differ in their other results (`docs/lessons/search.md`).

#[cfg(feature = "baselines")]
pub mod like;

pub mod full_text;

pub mod expected_rows;
pub mod indexed_search;

use sqlx::{Postgres, QueryBuilder};

use self::full_text::TextQuery;
use crate::database::InstrumentedConnection;

/// The arm of `search` that this process runs.
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
    pub fn new(arm: techniques::Search) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            techniques::Search::Like => Self::Like,
            techniques::Search::FullText => Self::FullText,
        }
    }

    /// The first way to match the text.
    pub fn matching(self, text: &str) -> Matching {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like => Matching::Like(like::Pattern::new(text)),
            Self::FullText => Matching::Words(full_text::Words::new(text)),
        }
    }

    /// Whether there is a fallback for texts without a match.
    pub fn has_second_matching(self) -> bool {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like => false,
            Self::FullText => true,
        }
    }

    /// The fallback for texts without a match.
    pub fn second_matching(self, text: &str) -> Option<Matching> {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like => None,
            Self::FullText => Some(Matching::Similar(full_text::Similar::new(text))),
        }
    }
}

/// A way to match a text.
#[derive(Debug, Clone)]
pub enum Matching {
    /// See [`like`].
    #[cfg(feature = "baselines")]
    Like(like::Pattern),
    /// Whole words and prefixes.
    Words(full_text::Words),
    /// The most similar words, for texts without a match.
    Similar(full_text::Similar),
}

impl Matching {
    /// The query of words, to be matched with documents. `Some(None)` if the correction has no words, `None` if the arm has
    /// no such queries.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn text_query(
        &self,
        connection: &mut InstrumentedConnection<'_>,
    ) -> Result<Option<Option<TextQuery>>, sqlx::Error> {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(_) => Ok(None),
            Self::Words(words) => Ok(Some(Some(words.text_query()))),
            Self::Similar(similar) => {
                let corrected = sqlx::query_scalar!("select corrected_query($1)::text", similar.text());
                Ok(Some(
                    corrected.fetch_one(connection).await?.map(TextQuery::Lexemes),
                ))
            }
        }
    }

    /// Appends the joins to `products p`.
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

    /// Appends the rank, a `bigint`. Higher is better.
    pub fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(pattern) => pattern.push_rank(sql),
            Self::Words(words) => words.push_rank(sql),
            Self::Similar(similar) => similar.push_rank(sql),
        }
    }
}
