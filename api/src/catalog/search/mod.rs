//! Finds products by words: the lesson `search`. An arm converts the text of `q` to ways of matching it ([`Matching`]), the
//! next of which is tried when one finds nothing.
//!
//! Both arms find products that contain the words. They differ in their other results (`docs/lessons/search.md`).

#[cfg(feature = "baselines")]
pub mod like;

pub mod full_text;

pub mod expected_rows;
pub mod indexed_search;

use self::full_text::{Similar, TextQuery, Words};
use crate::database::InstrumentedConnection;

techniques::component! {
    /// Finds products by words.
    #[derive(Debug, Clone, Copy)]
    pub Search: techniques::Search {
        baseline Like = like::Like,
        optimized FullText = full_text::FullText,
    }
    pub select();

    /// The first way to match a text, or the second, if there is one.
    pub fn matching(self, text: &str, attempt: u8) -> Option<Matching>;
}

/// A way to match a text.
#[derive(Debug, Clone)]
pub enum Matching {
    /// See [`like`].
    #[cfg(feature = "baselines")]
    Like(like::Pattern),
    /// Whole words and prefixes.
    Words(Words),
    /// The most similar words, for texts without a match.
    Similar(Similar),
}

impl Matching {
    /// The query of words, to be matched with documents. `None` if there are no words.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn text_query(
        &self,
        connection: &mut InstrumentedConnection<'_>,
    ) -> Result<Option<TextQuery>, sqlx::Error> {
        match self {
            #[cfg(feature = "baselines")]
            Self::Like(_) => Ok(None),
            Self::Words(words) => Ok(Some(words.text_query())),
            Self::Similar(similar) => {
                let corrected = sqlx::query_scalar!("select corrected_query($1)::text", similar.text());
                Ok(corrected.fetch_one(connection).await?.map(TextQuery::Lexemes))
            }
        }
    }
}
