//! The columns that a list reads: the lesson `projection`. An arm is the select list of a list's statement for
//! `products p`. The response is the same for all arms.

#[cfg(feature = "baselines")]
pub mod all_columns;

pub mod narrow;

use sqlx::postgres::PgRow;
use techniques::Projection;

use super::product::ItemColumns;

/// The arm of `projection` that this process runs.
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

    /// The indexes of these columns in a row, after the sort key.
    ///
    /// # Errors
    /// When a column is missing.
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
