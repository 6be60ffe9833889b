//! **Technique**: `ilike '%text%'` over titles and descriptions.
//! **Cost**: reads the texts of every active product, so it grows with the catalogue, even without a match.
//! **Fails when**: the catalogue is large. It also finds only the exact text: no plurals, no other word order, no typos;
//! but also matches within words.
//! **Source**: <https://www.postgresql.org/docs/current/functions-matching.html>

use sqlx::{Postgres, QueryBuilder};

use super::Matching;

/// The arm `search=like`.
#[derive(Debug, Clone, Copy)]
pub struct Like;

impl Like {
    pub(super) fn matching(self, text: &str, attempt: u8) -> Option<Matching> {
        (attempt == 0).then(|| Matching::Like(Pattern::new(text)))
    }
}

/// `%text%`, with the pattern's special characters escaped.
#[derive(Debug, Clone)]
pub struct Pattern(String);

impl Pattern {
    fn new(text: &str) -> Self {
        let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Self(format!("%{escaped}%"))
    }

    pub(in crate::catalog) fn push_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("(p.title ilike ").push_bind(self.0.clone());
        sql.push(" or p.description ilike ")
            .push_bind(self.0.clone())
            .push(")");
    }

    /// A match in the title ranks above a match in the description.
    pub(in crate::catalog) fn push_rank(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("(p.title ilike ")
            .push_bind(self.0.clone())
            .push(")::integer::bigint");
    }
}
