//! The columns that a list reads: the lesson `projection`. An arm is the select list of a list's statement for
//! `products p`. The response is the same for all arms.

#[cfg(feature = "baselines")]
pub mod all_columns;

pub mod narrow;

use sqlx::postgres::PgRow;

use super::product::ItemColumns;

techniques::component! {
    /// The columns of a list.
    #[derive(Debug, Clone, Copy)]
    pub ListColumns: techniques::Projection {
        baseline AllColumns = all_columns::AllColumns,
        optimized Narrow = narrow::Narrow,
    }
    pub select();

    /// The columns of `products p`.
    pub fn sql(self) -> &'static str;

    /// The indexes of these columns in a row, after the sort key.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn positions(self, row: &PgRow) -> Result<ItemColumns, sqlx::Error>;
}
