//! **Technique**: `ilike '%text%'` over titles and descriptions.
//! **Cost**: reads every active product's texts, whatever is found: grows with the catalogue.
//! **Fails when**: the catalogue is large. And it finds the text as it stands only: no plural, no other order of
//! words, no typo, but also the middle of a word.
//! **Source**: <https://www.postgresql.org/docs/current/functions-matching.html>

use sqlx::{Postgres, QueryBuilder};

/// `%text%`, with what is special in a pattern escaped.
#[derive(Debug, Clone)]
pub struct Pattern(String);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Self(format!("%{escaped}%"))
    }

    pub(super) fn push_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("(p.title ilike ").push_bind(self.0.clone());
        sql.push(" or p.description ilike ")
            .push_bind(self.0.clone())
            .push(")");
    }

    /// A title that holds the text ranks above a description that does.
    pub(super) fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("(p.title ilike ")
            .push_bind(self.0.clone())
            .push(")::integer::bigint");
    }
}
