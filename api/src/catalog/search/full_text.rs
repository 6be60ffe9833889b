//! **Technique**: an inverted index over stemmed words; the last word matches as a prefix. If nothing matches, the text is
//! corrected: each word is replaced by the most similar word of any title. By relevance, products with the words in their
//! title come first, and among them the best-selling.
//! **Cost**: grows with the matching products, not with the catalogue. A text without a match costs a second query. Every
//! changed title or description updates the inverted index (write amplification).
//! **Fails when**: a word is so common that most of the catalogue matches; then the sort order's index must be scanned
//! instead.
//! **Source**: <https://www.postgresql.org/docs/current/textsearch.html>,
//! <https://www.postgresql.org/docs/current/pgtrgm.html>

use sqlx::{Postgres, QueryBuilder};

use super::Matching;

/// Added to a product's sales for a match in the title, when matches are ranked. Larger than any number of sales.
pub const TITLE_MATCH: i64 = 1 << 40;

/// The fewest characters of a prefix. Nearly every text has words that start with a given letter or two.
const MIN_PREFIX_CHARS: usize = 3;

/// Full-text search.
#[derive(Debug, Clone, Copy)]
pub struct FullText;

impl FullText {
    /// First the words, then the most similar words.
    pub fn matching(self, text: &str, attempt: u8) -> Option<Matching> {
        match attempt {
            0 => Some(Matching::Words(Words::new(text))),
            1 => Some(Matching::Similar(Similar::new(text))),
            _ => None,
        }
    }
}

/// A text as a query of the `english` configuration: all words, the last as a prefix.
#[derive(Debug, Clone)]
pub struct Words {
    /// All of them, in the syntax of `to_tsquery`.
    pub(in crate::catalog) all: String,
    prefix: Option<Prefix>,
}

/// The last word of a text, if it matches as a prefix.
#[derive(Debug, Clone)]
struct Prefix {
    word: String,
    /// The words before it, in the syntax of `to_tsquery`.
    others: String,
}

/// A text query whose value the planner sees.
#[derive(Debug, Clone)]
pub enum TextQuery {
    Words(Words),
    /// Lexemes, as Postgres wrote them.
    Lexemes(String),
}

impl TextQuery {
    /// Appends the query. With two arguments, `to_tsquery` is immutable, so it is a constant when the statement is planned.
    pub fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Words(words) => push_to_tsquery(sql, words.all.clone()),
            Self::Lexemes(lexemes) => {
                sql.push_bind(lexemes.clone()).push("::text::tsquery");
            }
        }
    }

    /// The last word, if it matches as a prefix.
    pub fn prefix(&self) -> Option<&str> {
        match self {
            Self::Words(words) => words.prefix.as_ref().map(|prefix| prefix.word.as_str()),
            Self::Lexemes(_) => None,
        }
    }

    /// Appends the query of the prefix. Without one it matches nothing.
    pub fn push_prefix(&self, sql: &mut QueryBuilder<Postgres>) {
        push_to_tsquery(
            sql,
            self.prefix()
                .map(|word| format!("'{word}':*"))
                .unwrap_or_default(),
        );
    }

    /// Whether there are words before the prefix.
    pub fn has_others(&self) -> bool {
        matches!(self, Self::Words(Words { prefix: Some(prefix), .. }) if !prefix.others.is_empty())
    }

    /// Appends the query of the words before the prefix. Without any it is empty.
    pub fn push_others(&self, sql: &mut QueryBuilder<Postgres>) {
        let others = match self {
            Self::Words(Words {
                prefix: Some(prefix), ..
            }) => prefix.others.clone(),
            _ => String::new(),
        };
        push_to_tsquery(sql, others);
    }
}

fn push_to_tsquery(sql: &mut QueryBuilder<Postgres>, words: String) {
    sql.push("to_tsquery('pg_catalog.english', ")
        .push_bind(words)
        .push(")");
}

/// Converts a text to a query of words for the inverted index.
pub fn words_query(text: &str) -> TextQuery {
    Words::new(text).text_query()
}

impl Words {
    pub(super) fn new(text: &str) -> Self {
        let words: Vec<&str> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let join = |words: &[&str]| {
            let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            quoted.join(" & ")
        };
        let mut all = join(&words);
        let prefix = words
            .split_last()
            .filter(|(last, _)| {
                text.ends_with(char::is_alphanumeric) && last.chars().count() >= MIN_PREFIX_CHARS
            })
            .map(|(last, others)| Prefix {
                word: (*last).to_owned(),
                others: join(others),
            });
        if prefix.is_some() {
            all.push_str(":*");
        }
        Self { all, prefix }
    }

    pub(super) fn text_query(&self) -> TextQuery {
        TextQuery::Words(self.clone())
    }
}

/// A text with corrected words.
#[derive(Debug, Clone)]
pub struct Similar(String);

impl Similar {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(in crate::catalog) fn text(&self) -> &String {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_all_asked_for_and_the_last_is_a_prefix() {
        assert_eq!(Words::new("Navy wool-coa").all, "'Navy' & 'wool' & 'coa':*");
    }

    #[test]
    fn a_finished_last_word_is_no_prefix() {
        assert_eq!(Words::new("coat.").all, "'coat'");
    }

    #[test]
    fn two_letters_are_a_word_and_no_prefix() {
        assert_eq!(Words::new("navy co").all, "'navy' & 'co'");
        assert_eq!(Words::new("navy coa").all, "'navy' & 'coa':*");
    }

    #[test]
    fn what_is_special_in_a_query_is_dropped() {
        assert_eq!(Words::new("a' | !b & (cod").all, "'a' & 'b' & 'cod':*");
        assert_eq!(Words::new("!!!").all, "");
    }
}
