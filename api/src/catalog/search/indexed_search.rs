//! The condition of a search, as far as possible for the inverted index.
//!
//! For a prefix, the inverted index collects every product of every word that begins with it, whatever the other words
//! are: 16 ms for a prefix that all of 200,000 products have. So a common prefix is left to a filter on the rows that the
//! other words, or brand and category, lead to.
//!
//! Source: `collectMatchBitmap` in Postgres' `src/backend/access/gin/ginget.c`.

use sqlx::{Postgres, QueryBuilder};

use super::full_text::TextQuery;

/// An entry that the inverted index returns takes 0.085 µs. That is as long as this many visited rows, of 5 µs each.
pub const ROWS_A_POSTING: f64 = 0.017;

/// The lexemes of a product's document that are no words, each as the text of a query.
pub mod lexemes {
    use uuid::Uuid;

    /// What is sold out.
    pub fn sold_out() -> String {
        "'o:'".to_owned()
    }

    /// A brand.
    pub fn brand(id: Uuid) -> String {
        format!("'b:{id}'")
    }

    /// A category and those below it: a product has the lexemes of all categories above it.
    pub fn category(id: Uuid) -> String {
        format!("'c:{id}'")
    }

    /// All of these, and what is sold out if `in_stock` is false. Empty without any.
    pub fn all_of(brand_id: Option<Uuid>, category_id: Option<Uuid>, in_stock: Option<bool>) -> String {
        let sold_out = (in_stock == Some(false)).then(sold_out);
        let all = [brand_id.map(brand), category_id.map(category), sold_out];
        let all: Vec<String> = all.into_iter().flatten().collect();
        all.join("&")
    }
}

/// Which matches: by relevance, those with the words in their title come first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    #[default]
    All,
    InTitle,
    NotInTitle,
}

/// A condition on `search_rows s`.
#[derive(Debug, Default, Clone, Copy)]
pub struct IndexedSearch<'a> {
    /// Without it, every row matches.
    pub query: Option<&'a TextQuery>,
    pub part: Part,
    /// See [`lexemes::all_of`].
    pub lexemes: &'a str,
    /// Whether the prefix is left to a filter.
    pub filters_prefix: bool,
    /// Whether all words are left to a filter, and other conditions lead to the rows.
    pub filters_words: bool,
    /// Whether the planner doesn't see the words: it then expects one product in 200, which is its default.
    pub hides_words: bool,
}

impl<'a> IndexedSearch<'a> {
    /// All matches, with the prefix in the index condition. See [`lexemes`].
    pub fn new(query: &'a TextQuery, lexemes: &'a str) -> Self {
        Self {
            query: Some(query),
            lexemes,
            ..Self::default()
        }
    }

    /// Whether the last word is a prefix.
    pub fn has_prefix(&self) -> bool {
        self.query.is_some_and(|query| query.prefix().is_some())
    }

    /// Whether there is a prefix, and something else that leads to rows.
    pub fn has_prefix_and_others(&self) -> bool {
        let has_others = self.query.is_some_and(TextQuery::has_others);
        self.has_prefix() && (has_others || !self.lexemes.is_empty())
    }

    /// Appends two more selects to an `explain`: all products with the prefix, and all with the rest of the query.
    pub fn push_parts(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(" union all select from search_rows s where s.document @@ ");
        self.push_prefix(sql);
        sql.push(" union all select from search_rows s where ");
        self.push_others_condition(sql);
    }

    /// Decides whether to filter the prefix, so that at most so many rows are expected to be `discarded`. The planner expects
    /// this many products with the prefix, and with the rest of the query. `matches` have both, and this share of them is
    /// read.
    pub fn plan_prefix(&mut self, discarded: f64, [prefix, others, matches]: [f64; 3], share: f64) {
        // The range of a title's words is chosen for the few products with the prefix in their title. Without it, most of
        // the range would be read.
        let is_possible = self.has_prefix_and_others() && !self.hides_words && self.part != Part::InTitle;
        let expected = (others - matches).max(0.0) * share;
        self.filters_prefix = is_possible && expected < (prefix * ROWS_A_POSTING).min(discarded);
    }

    /// Appends ` and …`. A query without a word that counts matches nothing; brand and category alone must not.
    pub fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        self.push_indexed(sql);
        if self.filters_prefix || self.filters_words {
            sql.push(" and ");
            self.push_filter(sql);
        }
    }

    /// The condition for the index alone.
    pub fn push_indexed(&self, sql: &mut QueryBuilder<Postgres>) {
        let Some(query) = self.query else {
            return;
        };
        sql.push(" and numnode(");
        query.push(sql);
        sql.push(") > 0");
        if self.filters_words {
            return;
        }
        sql.push(" and ");
        if self.filters_prefix {
            self.push_others_condition(sql);
            return;
        }
        sql.push("s.document @@ (");
        // The planner doesn't look into a subquery.
        sql.push(if self.hides_words { "select " } else { "" });
        self.push_query(sql);
        sql.push(")");
    }

    /// Words and lexemes.
    fn push_query(&self, sql: &mut QueryBuilder<Postgres>) {
        match self.part {
            Part::All => self.push_words(sql),
            // The words of a title are also those of its product. To ask for both would make the planner expect fewer.
            Part::InTitle => push_title(sql, |sql| self.push_words(sql)),
            Part::NotInTitle => {
                self.push_words(sql);
                sql.push(" && !!");
                push_title(sql, |sql| self.push_words(sql));
            }
        }
        self.push_lexemes(sql);
    }

    /// Appends the condition that is left to a filter, or `true`.
    pub fn push_filter(&self, sql: &mut QueryBuilder<Postgres>) {
        if !self.filters_prefix && !self.filters_words {
            sql.push("true");
            return;
        }
        // The function of `@@`: the operator would be looked up in the index.
        sql.push("ts_match_vq(s.document, ");
        if self.filters_words {
            self.push_query(sql);
            sql.push(")");
            return;
        }
        self.push_prefix(sql);
        if self.part == Part::NotInTitle {
            sql.push(" && !!");
            push_title(sql, |sql| self.push_words(sql));
        }
        sql.push(")");
    }

    /// Without any word that counts, the rest of the query excludes nothing.
    fn push_others_condition(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("(numnode(");
        self.push_others(sql);
        sql.push(") = 0 or s.document @@ (");
        self.push_others(sql);
        sql.push("))");
    }

    fn push_others(&self, sql: &mut QueryBuilder<Postgres>) {
        self.query.inspect(|query| query.push_others(sql));
        self.push_lexemes(sql);
    }

    fn push_prefix(&self, sql: &mut QueryBuilder<Postgres>) {
        self.query.inspect(|query| query.push_prefix(sql));
    }

    /// Appends the words.
    pub fn push_words(&self, sql: &mut QueryBuilder<Postgres>) {
        self.query.inspect(|query| query.push(sql));
    }

    fn push_lexemes(&self, sql: &mut QueryBuilder<Postgres>) {
        if !self.lexemes.is_empty() {
            sql.push(" && ")
                .push_bind(self.lexemes.to_owned())
                .push("::text::tsquery");
        }
    }
}

/// Appends a query for titles.
pub fn push_title(sql: &mut QueryBuilder<Postgres>, push_query: impl FnOnce(&mut QueryBuilder<Postgres>)) {
    sql.push("title_query(");
    push_query(sql);
    sql.push(")");
}
