//! **Technique**: `select *`.
//! **Cost**: reads and transfers every column of the page's rows, including a description of about 1 KB that a list
//! doesn't show.
//! **Fails when**: rows are wide, or become wide, because every list pays for each column that is added later.
//! **Source**: <https://www.postgresql.org/docs/current/queries-select-lists.html>

use sqlx::postgres::PgRow;
use sqlx::{Column as _, Row as _};

use crate::catalog::product::ItemColumns;

/// The arm `projection=all_columns`.
#[derive(Debug, Clone, Copy)]
pub struct AllColumns;

impl AllColumns {
    pub(super) fn sql(self) -> &'static str {
        "p.*"
    }

    /// Finds the columns by their names.
    pub(super) fn positions(self, row: &PgRow) -> Result<ItemColumns, sqlx::Error> {
        let at = |name: &str| {
            let position = row.columns().iter().position(|column| column.name() == name);
            position.ok_or_else(|| sqlx::Error::ColumnNotFound(name.to_owned()))
        };
        Ok(ItemColumns {
            id: at("id")?,
            slug: at("slug")?,
            title: at("title")?,
            brand_id: at("brand_id")?,
            category_id: at("category_id")?,
            price_cents: at("price_cents")?,
            compare_at_cents: at("compare_at_cents")?,
            currency: at("currency")?,
            in_stock: at("in_stock")?,
            rating_hundredths: at("rating_hundredths")?,
            review_count: at("review_count")?,
            image_url: at("image_url")?,
            image_alt: at("image_alt")?,
        })
    }
}
