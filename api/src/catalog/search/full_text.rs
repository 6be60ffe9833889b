//! **Technique**: an inverted index over stemmed words; the last word matches as a prefix. A text that no word matches is
//! corrected: each word becomes the most similar word of any title. By relevance, products with the words in their title
//! come first, and among them the best-selling.
//! **Cost**: grows with the products that match, not with the catalogue. A text without any match costs another look. Every
//! changed title or description updates the inverted index.
//! **Fails when**: a word is so common that most of the catalogue matches: the index of the order has to be walked instead.
//! **Source**: <https://www.postgresql.org/docs/current/textsearch.html>,
//! <https://www.postgresql.org/docs/current/pgtrgm.html>

use sqlx::{Postgres, QueryBuilder};

pub(super) const JOIN: &str = " join search_rows s on s.product_id = p.id";

/// What a match in the title adds to the popularity by which matches are ranked: more than is ever sold.
pub const TITLE_MATCH: i64 = 1 << 40;

/// The fewest characters of a beginning. One or two letters begin words in nearly every text, and mean none.
const MIN_PREFIX_CHARS: usize = 3;

/// A text as a query of the `english` configuration: all words, the last as a prefix.
#[derive(Debug, Clone)]
pub struct Words(String);

/// A text query that the planner sees.
#[derive(Debug, Clone)]
pub enum TextQuery {
    /// In the syntax of `to_tsquery`.
    Words(String),
    /// Lexemes, as Postgres wrote them.
    Lexemes(String),
}

impl TextQuery {
    /// Appends it. With two arguments, `to_tsquery` is immutable: it is a constant when the statement is planned.
    pub fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Words(words) => sql
                .push("to_tsquery('pg_catalog.english', ")
                .push_bind(words.clone())
                .push(")"),
            Self::Lexemes(lexemes) => sql.push_bind(lexemes.clone()).push("::text::tsquery"),
        };
    }
}

/// A text as a query of words, which an index answers.
pub fn words_query(text: &str) -> TextQuery {
    Words::new(text).text_query()
}

impl Words {
    pub(super) fn new(text: &str) -> Self {
        let words: Vec<&str> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let mut query = words
            .iter()
            .map(|word| format!("'{word}'"))
            .collect::<Vec<_>>()
            .join(" & ");
        let is_beginning = text.ends_with(char::is_alphanumeric)
            && words
                .last()
                .is_some_and(|word| word.chars().count() >= MIN_PREFIX_CHARS);
        if is_beginning {
            query.push_str(":*");
        }
        Self(query)
    }

    pub(super) fn text_query(&self) -> TextQuery {
        TextQuery::Words(self.0.clone())
    }

    pub(super) fn push_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        // As a subquery the text is parsed once, not once a row.
        sql.push("s.document @@ (select to_tsquery('pg_catalog.english', ")
            .push_bind(self.0.clone())
            .push("))");
    }

    pub(super) fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(
            "p.sales_count + case when s.document @@ (select title_query(to_tsquery('pg_catalog.english', ",
        )
        .push_bind(self.0.clone())
        .push("))) then ")
        .push(TITLE_MATCH)
        .push(" else 0 end");
    }
}

/// A text whose words are corrected.
#[derive(Debug, Clone)]
pub struct Similar(String);

impl Similar {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn push_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("s.document @@ (select corrected_query(")
            .push_bind(self.0.clone())
            .push("))");
    }

    pub(super) fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("p.sales_count + case when s.document @@ (select title_query(corrected_query(")
            .push_bind(self.0.clone())
            .push("))) then ")
            .push(TITLE_MATCH)
            .push(" else 0 end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_all_asked_for_and_the_last_is_a_prefix() {
        assert_eq!(Words::new("Navy wool-coa").0, "'Navy' & 'wool' & 'coa':*");
    }

    #[test]
    fn a_finished_last_word_is_no_prefix() {
        assert_eq!(Words::new("coat.").0, "'coat'");
    }

    #[test]
    fn two_letters_are_a_word_and_no_prefix() {
        assert_eq!(Words::new("navy co").0, "'navy' & 'co'");
        assert_eq!(Words::new("navy coa").0, "'navy' & 'coa':*");
    }

    #[test]
    fn what_is_special_in_a_query_is_dropped() {
        assert_eq!(Words::new("a' | !b & (cod").0, "'a' & 'b' & 'cod':*");
        assert_eq!(Words::new("!!!").0, "");
    }
}
