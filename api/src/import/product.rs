//! Parses the rows of one handle into a product. Its variants are in [`super::variant`], its images in
//! [`super::image`].

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::ImportOptions;
use super::columns::Column;
use super::description;
use super::image::{self, Image};
use super::report::ImportReport;
use super::rows::{Cells, ProductRows, Row, RowContent};
use super::skus::Skus;
use super::variant::{self, OptionNames, Variant};

/// The bound of the columns for titles, names, slugs and SKUs.
pub(super) const NAME_CHARS_MAX: usize = 255;
/// Attributes are shown on one line each. A product's tags are the longest.
const ATTRIBUTE_CHARS_MAX: usize = 4096;
/// More than Shopify's taxonomy has; bounds what an untrusted file can create.
const CATEGORY_LEVELS_MAX: usize = 10;

/// A valid product.
#[derive(Debug)]
pub(super) struct Product {
    /// Becomes its slug.
    pub(super) handle: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) active: bool,
    pub(super) brand: String,
    /// Names from the root of the tree down, at least one.
    pub(super) category: Vec<String>,
    pub(super) attributes: Value,
    pub(super) variants: Vec<Variant>,
    pub(super) images: Vec<Image>,
    pub(super) lines: Vec<u64>,
}

/// Parses a product, or reports all its rows. Invalid variants and images are reported and skipped.
pub(super) fn parse_product(
    product: ProductRows,
    options: &ImportOptions,
    skus: &mut Skus,
    report: &mut ImportReport,
) -> Option<Product> {
    let ProductRows { handle, rows } = product;
    let remarks_before = report.rows_skipped.len();
    let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
    let rows = readable_rows(rows, &handle, report);
    let first = rows.iter().find(|(_, cells)| cells.any(&[Column::Title]));
    let Some((first_line, first)) = first.map(|(line, cells)| (*line, cells)) else {
        for (line, _) in &rows {
            report.skip(*line, &handle, "none of its product's rows has a Title");
        }
        return None;
    };
    let fields = check_handle(&handle).and_then(|()| read_fields(first));
    let option_names = OptionNames::read(first);
    let (mut product, option_names) = match fields.and_then(|fields| Ok((fields, option_names?))) {
        Ok(read) => read,
        Err(reason) => {
            report.skip(first_line, &handle, &reason);
            for (line, _) in rows.iter().filter(|(line, _)| *line != first_line) {
                report.skip(
                    *line,
                    &handle,
                    format_args!("its product is skipped: see line {first_line}"),
                );
            }
            return None;
        }
    };
    product.variants = variant::read_variants(
        &rows,
        first_line,
        &handle,
        &option_names,
        options.currency,
        skus,
        report,
    );
    product.images = image::read_images(&rows, &handle, report);
    product.handle = handle;
    product.lines = lines;
    if product.variants.is_empty() {
        let reported = report.rows_skipped[remarks_before..]
            .iter()
            .map(|remark| remark.line)
            .collect();
        product.skip_rest(&reported, report);
        return None;
    }
    Some(product)
}

impl Product {
    /// Reports those of its rows that aren't `reported` yet.
    pub(super) fn skip_rest(&self, reported: &HashSet<u64>, report: &mut ImportReport) {
        for line in self.lines.iter().filter(|line| !reported.contains(line)) {
            report.skip(*line, &self.handle, "its product has no valid variant");
        }
    }
}

fn readable_rows(rows: Vec<Row>, handle: &str, report: &mut ImportReport) -> Vec<(u64, Cells)> {
    let mut readable = Vec::with_capacity(rows.len());
    for row in rows {
        match row.content {
            RowContent::Cells(cells) => readable.push((row.line, cells)),
            RowContent::Broken(reason) => report.skip(row.line, handle, reason),
        }
    }
    readable
}

/// The handle becomes part of the product's URL, unencoded.
fn check_handle(handle: &str) -> Result<(), String> {
    check_length(Column::Handle.name(), handle, NAME_CHARS_MAX)?;
    let unfit = |c: char| c.is_whitespace() || c.is_control() || "/\\?#%".contains(c);
    if handle.contains(unfit) || matches!(handle, "." | "..") {
        return Err("Handle can't be part of a URL: it has a space or one of / \\ ? # %".to_owned());
    }
    Ok(())
}

fn read_fields(first: &Cells) -> Result<Product, String> {
    let title = first.get(Column::Title);
    check_length(Column::Title.name(), title, NAME_CHARS_MAX)?;
    let description = description::clean(first.get(Column::Body))
        .map_err(|fault| format!("{} {fault}", Column::Body.name()))?;
    let vendor = first.get(Column::Vendor);
    check_length(Column::Vendor.name(), vendor, NAME_CHARS_MAX)?;
    Ok(Product {
        handle: String::new(),
        title: title.to_owned(),
        description,
        active: is_active(first),
        brand: if vendor.is_empty() { "Unbranded" } else { vendor }.to_owned(),
        category: read_category(first)?,
        attributes: read_attributes(first)?,
        variants: Vec::new(),
        images: Vec::new(),
        lines: Vec::new(),
    })
}

/// `Status` may also be draft, archived or unlisted; older exports have only `Published`.
fn is_active(first: &Cells) -> bool {
    let status = first.get(Column::Status);
    let published = first.get(Column::Published);
    let unpublished = ["false", "no", "0"]
        .iter()
        .any(|no| published.eq_ignore_ascii_case(no));
    (status.is_empty() || status.eq_ignore_ascii_case("active")) && !unpublished
}

/// `Apparel > Shirts` is a path; `Type` is a top-level category.
fn read_category(first: &Cells) -> Result<Vec<String>, String> {
    let path = first
        .get(Column::ProductCategory)
        .split('>')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let mut names: Vec<String> = path.map(str::to_owned).collect();
    if names.is_empty() {
        let kind = first.get(Column::Type);
        names.push(if kind.is_empty() { "Uncategorized" } else { kind }.to_owned());
    }
    if names.len() > CATEGORY_LEVELS_MAX {
        let column = Column::ProductCategory.name();
        return Err(format!("{column} has more than {CATEGORY_LEVELS_MAX} levels"));
    }
    for name in &names {
        check_length("its category", name, NAME_CHARS_MAX)?;
    }
    Ok(names)
}

fn read_attributes(first: &Cells) -> Result<Value, String> {
    let tags = first
        .get(Column::Tags)
        .split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty());
    let tags = tags.collect::<Vec<_>>().join(", ");
    let mut attributes = Map::new();
    for (name, value) in [
        ("Tags", tags.as_str()),
        ("Gender", first.get(Column::Gender)),
        ("Age Group", first.get(Column::AgeGroup)),
        ("Material", first.get(Column::Material)),
    ] {
        check_length(name, value, ATTRIBUTE_CHARS_MAX)?;
        if !value.is_empty() {
            attributes.insert(name.to_owned(), value.into());
        }
    }
    Ok(Value::Object(attributes))
}

/// Rejects a text that is longer than its column allows. Postgres counts characters too.
pub(super) fn check_length(name: &str, text: &str, chars_max: usize) -> Result<(), String> {
    if text.chars().nth(chars_max).is_some() {
        return Err(format!("{name} is longer than {chars_max} characters"));
    }
    Ok(())
}
