//! The parameters of a page of a list, with keyset pagination.

use super::cursor::{Cursor, CursorKeys};
use super::error::ApiError;
use super::query::{ValueParser, cursor, number_or, query_parameters};

query_parameters! {
    /// Which page of a list a request asks for.
    pub struct PageQuery {
        /// Items of a page
        pub limit: i64 = page_limit(),
        /// The cursor from `next`
        pub after: Option<String> = cursor(),
    }
}

/// Every list's `limit`.
pub fn page_limit() -> impl ValueParser<i64> {
    number_or(20, 1, 100)
}

impl PageQuery {
    /// Where the page starts; `None` is the start of the list. See [`CursorKeys::decode`].
    ///
    /// # Errors
    /// A 400 when the cursor is malformed or of another list.
    pub fn cursor(&self, keys: &CursorKeys, list: &str) -> Result<Option<Cursor>, ApiError> {
        let after = self.after.as_deref();
        after.map(|text| keys.decode(list, text)).transpose()
    }
}
