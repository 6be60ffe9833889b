//! The variants of products, with options, prices and stock, and the columns of a product's row that summarize them.

use uuid::Uuid;

use super::products::Product;
use crate::copy_format::{Rows, json_object};
use crate::corpora::departments::COLOURS;
use crate::rng::{Purpose, RowRng, exp};
use crate::tables::catalogue::Catalogue;
use crate::timestamps::uuid_at;

/// How many of 1 000 products have 1, 2, … 12 variants: 2.56 on average, with a heavy tail.
const COUNTS: [u64; 12] = [470, 180, 120, 80, 50, 35, 15, 15, 10, 10, 5, 10];

/// A variant, without its texts.
#[derive(Debug)]
pub struct Variant {
    pub id: Uuid,
    pub price_cents: i64,
    /// The former price, for a discounted variant.
    pub compare_at_cents: Option<i64>,
    pub stock_quantity: i32,
    /// An index into [`COLOURS`].
    colour: usize,
    /// The size, volume or pack, as an index into the values of the category's option.
    step: usize,
}

/// The columns of a product's row that summarize its variants.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// The lowest price.
    pub price_cents: i64,
    /// The former price of the cheapest variant.
    pub compare_at_cents: Option<i64>,
    /// Whether any variant is in stock.
    pub in_stock: bool,
}

/// The variants of a product, by position.
pub fn of(catalogue: &Catalogue, product: &Product<'_>) -> Vec<Variant> {
    let mut rng = RowRng::new(catalogue.seed, Purpose::Variants, product.index);
    let values = product.category.options.values();
    let count = rng.weighted(&COUNTS) + 1;
    // Up to four variants differ in size alone, if there are enough sizes; more come in several colours.
    let colours = if count <= 4 { 1 } else { 3 }.max(count.div_ceil(values.len()));
    let steps = count.div_ceil(colours).min(values.len());
    let first_step = rng.below((values.len() - steps + 1) as u64) as usize;
    let base_cents = f64::from(product.category.median_price_cents) * exp(0.55 * rng.normal());
    let ending = rng.weighted(&[55, 20, 15, 10]);
    let discount_percent = rng.percent(20).then(|| rng.between(2, 10) * 5);
    (0..count)
        .map(|position| {
            let step = first_step + position % steps;
            let percent = 100 + product.category.options.step_percent() * (step as u64);
            let price_cents = shelf_price_cents(base_cents * percent as f64 / 100.0, ending);
            Variant {
                id: uuid_at(product.created_us, product.index, position as u64, &mut rng),
                price_cents,
                compare_at_cents: discount_percent.map(|percent| {
                    shelf_price_cents(price_cents as f64 * 100.0 / (100 - percent) as f64, ending)
                        .max(price_cents + 1)
                }),
                stock_quantity: stock(&mut rng),
                colour: (product.colour + position / steps) % COLOURS.len(),
                step,
            }
        })
        .collect()
}

/// Summarizes a product's variants for its row, as the schema's triggers do.
pub fn summary(variants: &[Variant]) -> Summary {
    // `min_by_key` returns the first of equals, which is the one with the lowest position.
    let cheapest = variants.iter().min_by_key(|variant| variant.price_cents);
    let cheapest = cheapest.expect("a product has at least one variant");
    Summary {
        price_cents: cheapest.price_cents,
        compare_at_cents: cheapest.compare_at_cents,
        in_stock: variants.iter().any(|variant| variant.stock_quantity > 0),
    }
}

/// Writes the rows of a product's variants.
pub fn rows(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let product = Product::at(catalogue, index);
    let variants = of(catalogue, &product);
    let is_only_variant = variants.len() == 1;
    for (position, variant) in variants.iter().enumerate() {
        let colour = COLOURS[variant.colour];
        let option = product.category.options;
        let step = option.values()[variant.step];
        rows.row(9)
            .uuid(variant.id)
            .uuid(product.id)
            .bigint(variant.price_cents);
        match variant.compare_at_cents {
            Some(cents) => rows.bigint(cents),
            None => rows.null(),
        };
        rows.integer(variant.stock_quantity).smallint(position as i16);
        rows.text(&sku(&product, position))
            .text(&variant.title(&product, is_only_variant));
        if is_only_variant {
            rows.jsonb(&json_object([("Colour", colour)]));
        } else {
            rows.jsonb(&json_object([(option.name(), step), ("Colour", colour)]));
        }
    }
}

/// The SKU of the variant at a position.
pub fn sku(product: &Product<'_>, position: usize) -> String {
    let prefix = &product.brand.sku_prefix;
    format!("{prefix}-{:07}-{:02}", product.index + 1, position + 1)
}

impl Variant {
    /// The title that is shown next to the product's. A product's only variant is named by its colour alone.
    pub fn title(&self, product: &Product<'_>, is_only_variant: bool) -> String {
        let colour = COLOURS[self.colour];
        if is_only_variant {
            return colour.to_owned();
        }
        let step = product.category.options.values()[self.step];
        format!("{step} / {colour}")
    }
}

/// Rounds to a usual retail price. Most prices end in .99, others in .95, .00 or .49.
fn shelf_price_cents(cents: f64, ending: usize) -> i64 {
    let euros = ((cents / 100.0) as i64).max(1);
    match ending {
        0 => euros * 100 + 99,
        1 => euros * 100 + 95,
        2 => (euros + 1) * 100,
        _ => euros * 100 + 49,
    }
}

/// Of 100 variants, 8 are sold out, 62 have 5 to 300 units, where low numbers are more likely, and 30 have more.
fn stock(rng: &mut RowRng) -> i32 {
    let quantity = match rng.below(100) {
        0..8 => 0,
        8..70 => {
            let top = rng.below(296);
            5 + rng.below(top + 1)
        }
        _ => rng.between(301, 5_000),
    };
    quantity as i32
}
