//! **Technique**: select only the columns that the response shows.
//! **Cost**: reads and transfers only the needed bytes.
//! **Fails when**: it doesn't; but a list that shows a new column must select it.
//! **Source**: <https://www.postgresql.org/docs/current/queries-select-lists.html>

use sqlx::postgres::PgRow;

use crate::catalog::product::ItemColumns;

const COLUMNS: &str = "p.id, p.slug, p.title, p.brand_id, p.category_id, p.price_cents, p.compare_at_cents, \
     p.currency, p.in_stock, p.rating_hundredths, p.review_count, p.image_url, p.image_alt";

/// The indexes of these columns, after the sort key. They are constants, so no column is looked up by name.
const POSITIONS: ItemColumns = ItemColumns {
    id: 1,
    slug: 2,
    title: 3,
    brand_id: 4,
    category_id: 5,
    price_cents: 6,
    compare_at_cents: 7,
    currency: 8,
    in_stock: 9,
    rating_hundredths: 10,
    review_count: 11,
    image_url: 12,
    image_alt: 13,
};

/// A list's columns, and no others.
#[derive(Debug, Clone, Copy)]
pub struct Narrow;

impl Narrow {
    /// The columns of `products p`.
    pub fn sql(self) -> &'static str {
        COLUMNS
    }

    /// The indexes of these columns in a row, after the sort key.
    ///
    /// # Errors
    /// Never: they are constants.
    pub fn positions(self, _row: &PgRow) -> Result<ItemColumns, sqlx::Error> {
        Ok(POSITIONS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_match_the_columns() {
        let names: Vec<&str> = COLUMNS
            .split(',')
            .map(|column| column.trim().trim_start_matches("p."))
            .collect();
        let at = |name: &str| names.iter().position(|known| *known == name).map(|at| at + 1);
        assert_eq!(at("id"), Some(POSITIONS.id));
        assert_eq!(at("slug"), Some(POSITIONS.slug));
        assert_eq!(at("title"), Some(POSITIONS.title));
        assert_eq!(at("brand_id"), Some(POSITIONS.brand_id));
        assert_eq!(at("category_id"), Some(POSITIONS.category_id));
        assert_eq!(at("price_cents"), Some(POSITIONS.price_cents));
        assert_eq!(at("compare_at_cents"), Some(POSITIONS.compare_at_cents));
        assert_eq!(at("currency"), Some(POSITIONS.currency));
        assert_eq!(at("in_stock"), Some(POSITIONS.in_stock));
        assert_eq!(at("rating_hundredths"), Some(POSITIONS.rating_hundredths));
        assert_eq!(at("review_count"), Some(POSITIONS.review_count));
        assert_eq!(at("image_url"), Some(POSITIONS.image_url));
        assert_eq!(at("image_alt"), Some(POSITIONS.image_alt));
    }
}
