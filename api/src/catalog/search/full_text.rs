//! **Technique**: an inverted index over stemmed words, ranked; the last word matches as a prefix. A text that no word
//! matches is compared with titles by trigrams, which forgives typos.
//! **Cost**: grows with the products that match, not with the catalogue; ranking reads each match's document. A text
//! without any match costs a second statement. Every changed title or description updates the inverted index.
//! **Fails when**: a word is so common that most of the catalogue matches: then all of it is ranked for one page.
//! **Source**: <https://www.postgresql.org/docs/current/textsearch.html>,
//! <https://www.postgresql.org/docs/current/pgtrgm.html>

use sqlx::{Postgres, QueryBuilder};

pub(super) const JOIN: &str = " join product_search s on s.product_id = p.id";

/// A text as a query of the `english` configuration: all words, the last as a prefix.
#[derive(Debug, Clone)]
pub struct Words(String);

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
        if !query.is_empty() && text.ends_with(char::is_alphanumeric) {
            query.push_str(":*");
        }
        Self(query)
    }

    pub(super) fn push_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("s.document @@ ");
        self.push_query(sql);
    }

    pub(super) fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("ts_rank(s.document, ");
        self.push_query(sql);
        sql.push(")");
    }

    /// As a subquery the text is parsed once, not once a row.
    fn push_query(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("(select to_tsquery('pg_catalog.english', ")
            .push_bind(self.0.clone())
            .push("))");
    }
}

/// A text that titles are compared with.
#[derive(Debug, Clone)]
pub struct Similar(String);

impl Similar {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// `%>` holds where the best matching part of the title is more similar than
    /// `pg_trgm.word_similarity_threshold`, which every connection sets (`storefront::postgres`).
    pub(super) fn push_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("p.title %> ").push_bind(self.0.clone());
    }

    pub(super) fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("word_similarity(")
            .push_bind(self.0.clone())
            .push(", p.title)");
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
    fn what_is_special_in_a_query_is_dropped() {
        assert_eq!(Words::new("a' | !b & (c").0, "'a' & 'b' & 'c':*");
        assert_eq!(Words::new("!!!").0, "");
    }
}
