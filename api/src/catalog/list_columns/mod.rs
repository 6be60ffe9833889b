//! Which columns a list reads: the lesson `projection`. An arm is the column list that a list's statement selects from
//! `products p`; the answer shows the same part of them.

#[cfg(feature = "baselines")]
pub mod all_columns;

pub mod narrow;

use sqlx::postgres::PgRow;
use storefront::variants::Projection;

use super::product::ItemColumns;

/// The arm of `projection` that this process was built with.
#[derive(Debug, Clone, Copy)]
pub enum ListColumns {
    /// See [`all_columns`].
    #[cfg(feature = "baselines")]
    AllColumns,
    /// See [`narrow`].
    Narrow,
}

impl ListColumns {
    /// Builds the arm.
    pub fn new(arm: Projection) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            Projection::AllColumns => Self::AllColumns,
            Projection::Narrow => Self::Narrow,
        }
    }

    /// The columns of `products p`.
    pub fn sql(self) -> &'static str {
        match self {
            #[cfg(feature = "baselines")]
            Self::AllColumns => all_columns::COLUMNS,
            Self::Narrow => narrow::COLUMNS,
        }
    }

    /// Where these columns are in a row, behind the sort key.
    ///
    /// # Errors
    /// When one is missing.
    pub fn positions(self, row: &PgRow) -> Result<ItemColumns, sqlx::Error> {
        match self {
            #[cfg(feature = "baselines")]
            Self::AllColumns => ItemColumns::of(row),
            Self::Narrow => {
                let _ = row;
                Ok(narrow::POSITIONS)
            }
        }
    }
}
