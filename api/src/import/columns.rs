//! The columns of a product export that the import reads, and their positions in this file.
//!
//! Shopify renamed most columns (`Variant SKU` became `SKU`). Both generations are accepted, in any order and case;
//! other columns are ignored.

use csv::StringRecord;

use super::error::ImportError;

/// A column that the import reads. The order is that of [`NAMES`] and of a [`super::rows::Row`]'s cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Handle,
    Title,
    Body,
    Vendor,
    ProductCategory,
    Type,
    Tags,
    Published,
    Status,
    Option1Name,
    Option1Value,
    Option2Name,
    Option2Value,
    Option3Name,
    Option3Value,
    Sku,
    InventoryQuantity,
    Price,
    CompareAtPrice,
    ImageSource,
    ImagePosition,
    ImageAlt,
    Gender,
    AgeGroup,
    Material,
}

/// Each column's names, the one that messages use first.
const NAMES: [(Column, &[&str]); 25] = [
    (Column::Handle, &["Handle", "URL handle"]),
    (Column::Title, &["Title"]),
    (Column::Body, &["Body (HTML)", "Description"]),
    (Column::Vendor, &["Vendor"]),
    (
        Column::ProductCategory,
        &["Product Category", "Standard Product Type"],
    ),
    (Column::Type, &["Type", "Custom Product Type"]),
    (Column::Tags, &["Tags"]),
    (Column::Published, &["Published", "Published on online store"]),
    (Column::Status, &["Status"]),
    (Column::Option1Name, &["Option1 Name"]),
    (Column::Option1Value, &["Option1 Value"]),
    (Column::Option2Name, &["Option2 Name"]),
    (Column::Option2Value, &["Option2 Value"]),
    (Column::Option3Name, &["Option3 Name"]),
    (Column::Option3Value, &["Option3 Value"]),
    (Column::Sku, &["Variant SKU", "SKU"]),
    (
        Column::InventoryQuantity,
        &["Variant Inventory Qty", "Inventory quantity"],
    ),
    (Column::Price, &["Variant Price", "Price"]),
    (
        Column::CompareAtPrice,
        &["Variant Compare At Price", "Compare-at price"],
    ),
    (Column::ImageSource, &["Image Src", "Product image URL"]),
    (Column::ImagePosition, &["Image Position"]),
    (Column::ImageAlt, &["Image Alt Text"]),
    (Column::Gender, &["Google Shopping / Gender"]),
    (Column::AgeGroup, &["Google Shopping / Age Group"]),
    (Column::Material, &["Material", "Google Shopping / Material"]),
];

/// A product needs these.
const REQUIRED: [Column; 3] = [Column::Handle, Column::Title, Column::Price];

/// The columns of option names and of their values.
pub(super) const OPTIONS: [(Column, Column); 3] = [
    (Column::Option1Name, Column::Option1Value),
    (Column::Option2Name, Column::Option2Value),
    (Column::Option3Name, Column::Option3Value),
];

impl Column {
    /// The name in messages: the older, better-known one.
    pub(super) fn name(self) -> &'static str {
        NAMES[self as usize].1[0]
    }
}

/// The positions of the columns in this file.
#[derive(Debug)]
pub(super) struct Columns {
    /// By `Column as usize`.
    indexes: [Option<usize>; NAMES.len()],
    /// Columns in the header, known or not.
    pub(super) count: usize,
}

impl Columns {
    /// Finds the columns in the header.
    ///
    /// # Errors
    /// When it isn't the header of a product export.
    pub(super) fn find(header: &StringRecord) -> Result<Self, ImportError> {
        if header.len() == 1 && header[0].contains([';', '\t']) {
            return Err(ImportError::NotCsv(
                "its columns are not separated by commas; save it as CSV with commas and UTF-8",
            ));
        }
        let indexes = NAMES.map(|(_, names)| {
            names.iter().find_map(|name| {
                header
                    .iter()
                    .position(|cell| cell.trim().eq_ignore_ascii_case(name))
            })
        });
        let columns = Self {
            indexes,
            count: header.len(),
        };
        match REQUIRED
            .into_iter()
            .find(|column| columns.index(*column).is_none())
        {
            Some(missing) => Err(ImportError::MissingColumn(missing.name())),
            None => Ok(columns),
        }
    }

    fn index(&self, column: Column) -> Option<usize> {
        self.indexes[column as usize]
    }

    /// The file's indexes of all known columns, in the order of [`NAMES`].
    pub(super) fn indexes(&self) -> impl Iterator<Item = Option<usize>> {
        self.indexes.into_iter()
    }

    pub(super) fn handle_index(&self) -> usize {
        self.index(Column::Handle)
            .expect("the handle is required, so `find` has found it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_names_is_in_the_order_of_the_columns() {
        for (index, (column, names)) in NAMES.iter().enumerate() {
            assert_eq!(*column as usize, index);
            assert!(!names.is_empty());
        }
    }

    #[test]
    fn names_of_both_generations_are_found_in_any_order_and_case() {
        let header = StringRecord::from(vec!["price", "Unknown", "TITLE", " url HANDLE "]);
        let columns = Columns::find(&header).unwrap();
        assert_eq!(columns.handle_index(), 3);
        assert_eq!(columns.index(Column::Price), Some(0));
        assert_eq!(columns.index(Column::Vendor), None);
    }

    #[test]
    fn the_missing_column_is_named() {
        let missing = |header: &[&str]| {
            Columns::find(&StringRecord::from(header))
                .unwrap_err()
                .to_string()
        };
        assert!(missing(&["Title", "Variant Price"]).contains("no column `Handle`"));
        assert!(missing(&["Handle", "Variant Price"]).contains("no column `Title`"));
        assert!(missing(&["Handle", "Title"]).contains("no column `Variant Price`"));
        assert!(missing(&["Handle;Title;Variant Price"]).contains("not separated by commas"));
    }
}
