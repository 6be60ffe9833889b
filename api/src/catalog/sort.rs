//! The sort orders of a list of products. Each is a total order, with the id as the tiebreaker.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use time::OffsetDateTime;

/// A list's sort order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// How well the words of `q` match.
    Relevance,
    /// The newest first.
    Newest,
    /// The cheapest first.
    PriceAsc,
    /// The most expensive first.
    PriceDesc,
    /// The most sold first.
    BestSelling,
    /// The best rated first.
    Rating,
}

impl Sort {
    /// The values of the parameter `sort`.
    pub const NAMES: &'static [(&'static str, Sort)] = &[
        ("relevance", Sort::Relevance),
        ("newest", Sort::Newest),
        ("price_asc", Sort::PriceAsc),
        ("price_desc", Sort::PriceDesc),
        ("best_selling", Sort::BestSelling),
        ("rating", Sort::Rating),
    ];

    /// The value of the parameter `sort`.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, sort)| *sort == self)
            .map(|(name, _)| *name)
            .expect("every order has a name")
    }

    /// The column of `products` and `search_rows` that precedes the id. `None` for [`Sort::Relevance`], which the search
    /// computes.
    pub fn column(self) -> Option<&'static str> {
        match self {
            Sort::Relevance => None,
            Sort::Newest => Some("created_at"),
            Sort::PriceAsc | Sort::PriceDesc => Some("price_cents"),
            Sort::BestSelling => Some("sales_count"),
            Sort::Rating => Some("rating_hundredths"),
        }
    }

    /// ` asc` or ` desc`, for both the key and the id, so that one index serves both directions.
    pub fn direction(self) -> &'static str {
        match self {
            Sort::PriceAsc => " asc",
            _ => " desc",
        }
    }

    /// The operator that selects rows after a key (keyset pagination).
    pub fn beyond(self) -> &'static str {
        match self {
            Sort::PriceAsc => " > ",
            _ => " < ",
        }
    }

    /// Reads the first column, `sort_key`, as the 64 bits of a cursor's key.
    ///
    /// # Errors
    /// When the row has no such column.
    pub fn key_of(self, row: &PgRow) -> Result<i64, sqlx::Error> {
        // The first column of every list's statement.
        const KEY: usize = 0;
        Ok(match self {
            Sort::Newest => (row.try_get::<OffsetDateTime, _>(KEY)?.unix_timestamp_nanos() / 1000) as i64,
            Sort::Relevance | Sort::PriceAsc | Sort::PriceDesc | Sort::BestSelling => row.try_get(KEY)?,
            Sort::Rating => i64::from(row.try_get::<i16, _>(KEY)?),
        })
    }

    /// Binds a cursor's key with its column's type.
    pub fn push_key(self, sql: &mut QueryBuilder<Postgres>, key: i64) {
        match self {
            Sort::Newest => sql.push_bind(
                OffsetDateTime::from_unix_timestamp_nanos(i128::from(key) * 1000)
                    .unwrap_or(OffsetDateTime::UNIX_EPOCH),
            ),
            Sort::Relevance | Sort::PriceAsc | Sort::PriceDesc | Sort::BestSelling => sql.push_bind(key),
            Sort::Rating => sql.push_bind(key as i16),
        };
    }
}
