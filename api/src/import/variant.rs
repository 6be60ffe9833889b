//! A product's variants: options, SKU, price and stock of a row.

use std::collections::HashMap;

use serde_json::{Map, Value};
use shop::money::Currency;

use super::columns::{Column, OPTIONS};
use super::prices::{PriceFault, parse_price};
use super::product::{NAME_CHARS_MAX, check_length};
use super::report::{ImportReport, Shown};
use super::rows::Cells;
use super::skus::Skus;

/// Bounds the response of one product, and fits the column `position`. Shopify's bound is 2048.
const VARIANTS_MAX: usize = 2048;

#[derive(Debug)]
pub(super) struct Variant {
    pub(super) line: u64,
    pub(super) sku: String,
    pub(super) title: String,
    pub(super) options: Value,
    pub(super) price_cents: i64,
    pub(super) compare_at_cents: Option<i64>,
    pub(super) stock_quantity: i32,
}

/// The names of a product's options by column number. None if it has no options.
#[derive(Debug)]
pub(super) struct OptionNames([Option<String>; 3]);

impl OptionNames {
    /// Reads them from the product's first row. Shopify's `Title` with the value `Default Title` means no options.
    pub(super) fn read(first: &Cells) -> Result<Self, String> {
        let mut names = [const { None }; 3];
        for (index, (name_column, value_column)) in OPTIONS.into_iter().enumerate() {
            let (name, value) = (first.get(name_column), first.get(value_column));
            check_length(name_column.name(), name, NAME_CHARS_MAX)?;
            if name.is_empty() || (name == "Title" && value == "Default Title") {
                continue;
            }
            if names.iter().flatten().any(|earlier| earlier == name) {
                return Err(format!("two of its options are named {}", Shown(name)));
            }
            names[index] = Some(name.to_owned());
        }
        Ok(Self(names))
    }
}

/// Parses the variants in the file's order. Invalid ones are reported and skipped.
pub(super) fn read_variants(
    rows: &[(u64, Cells)],
    first_line: u64,
    handle: &str,
    option_names: &OptionNames,
    currency: Currency,
    skus: &mut Skus,
    report: &mut ImportReport,
) -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut choices = HashMap::new();
    let mut position = 0;
    for (line, cells) in rows {
        if *line != first_line && !has_variant(cells) {
            if !cells.any(&[Column::ImageSource]) {
                report.skip(*line, handle, "has neither a variant nor an image");
            }
            continue;
        }
        // Invalid rows count too, so that generated SKUs stay the same when one is repaired.
        position += 1;
        let read = read_variant(*line, cells, handle, position, option_names, currency).and_then(|variant| {
            if variants.len() == VARIANTS_MAX {
                return Err(format!("its product has more than {VARIANTS_MAX} variants"));
            }
            if let Some(earlier) = choices.get(&variant.options.to_string()) {
                return Err(format!("has the same options as line {earlier}"));
            }
            skus.claim(&variant.sku, *line)
                .map_err(|earlier| format!("SKU {} is also that of line {earlier}", Shown(&variant.sku)))?;
            Ok(variant)
        });
        match read {
            Ok(variant) => {
                if cells.get(Column::InventoryQuantity).starts_with('-') {
                    let quantity = Shown(cells.get(Column::InventoryQuantity));
                    report.note(
                        *line,
                        handle,
                        format_args!("the stock of {quantity} is taken as 0"),
                    );
                }
                choices.insert(variant.options.to_string(), *line);
                variants.push(variant);
            }
            Err(reason) => report.skip(*line, handle, reason),
        }
    }
    variants
}

/// A row after the first has a variant if any of a variant's columns is set; otherwise only an image.
fn has_variant(cells: &Cells) -> bool {
    cells.any(&[
        Column::Option1Value,
        Column::Option2Value,
        Column::Option3Value,
        Column::Sku,
        Column::Price,
        Column::CompareAtPrice,
        Column::InventoryQuantity,
    ])
}

fn read_variant(
    line: u64,
    cells: &Cells,
    handle: &str,
    position: usize,
    option_names: &OptionNames,
    currency: Currency,
) -> Result<Variant, String> {
    let (title, options) = read_options(cells, option_names)?;
    Ok(Variant {
        line,
        sku: read_sku(cells, handle, position)?,
        title,
        options,
        price_cents: read_price(cells, Column::Price, currency)?,
        compare_at_cents: match cells.get(Column::CompareAtPrice) {
            "" => None,
            _ => Some(read_price(cells, Column::CompareAtPrice, currency)?).filter(|cents| *cents > 0),
        },
        stock_quantity: read_stock(cells)?,
    })
}

fn read_options(cells: &Cells, OptionNames(names): &OptionNames) -> Result<(String, Value), String> {
    let mut options = Map::new();
    let mut values = Vec::new();
    for (name, (_, value_column)) in names.iter().zip(OPTIONS) {
        let value = cells.get(value_column);
        match name {
            Some(name) if value.is_empty() => {
                return Err(format!(
                    "{} is empty: it has no {}",
                    value_column.name(),
                    Shown(name)
                ));
            }
            Some(name) => {
                options.insert(name.clone(), value.into());
                values.push(value);
            }
            None if value.is_empty() || value == "Default Title" => {}
            None => {
                return Err(format!(
                    "{} has a value, but its product has no such option",
                    value_column.name()
                ));
            }
        }
    }
    let title = if values.is_empty() {
        "Default".to_owned()
    } else {
        values.join(" / ")
    };
    check_length("the title made of its options", &title, NAME_CHARS_MAX)?;
    Ok((title, Value::Object(options)))
}

fn read_sku(cells: &Cells, handle: &str, position: usize) -> Result<String, String> {
    let sku = match cells.get(Column::Sku) {
        "" => format!("{handle}-{position}"),
        sku => sku.to_owned(),
    };
    check_length(Column::Sku.name(), &sku, NAME_CHARS_MAX)?;
    if sku.contains(char::is_control) {
        return Err(format!("{} has a control character", Column::Sku.name()));
    }
    Ok(sku)
}

fn read_price(cells: &Cells, column: Column, currency: Currency) -> Result<i64, String> {
    let text = cells.get(column);
    parse_price(text, currency).map_err(|fault| match fault {
        PriceFault::Empty => format!("{} {fault}", column.name()),
        _ => format!("{} `{}` {fault}", column.name(), Shown(text)),
    })
}

/// Shopify allows negative stock; a shop that never oversells treats it as zero.
fn read_stock(cells: &Cells) -> Result<i32, String> {
    let text = cells.get(Column::InventoryQuantity);
    if text.is_empty() {
        return Ok(0);
    }
    match text.parse::<i32>() {
        Ok(quantity) => Ok(quantity.max(0)),
        Err(_) => {
            let name = Column::InventoryQuantity.name();
            Err(format!(
                "{name} `{}` is not a whole number up to {}",
                Shown(text),
                i32::MAX
            ))
        }
    }
}
