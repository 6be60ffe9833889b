//! The variants of products: options, prices, stock; and what a product's row keeps of them.

use uuid::Uuid;

use super::products::Product;
use crate::copy_format::{Rows, json_object};
use crate::corpora::departments::COLOURS;
use crate::rng::{Purpose, RowRng, exp};
use crate::tables::catalogue::Catalogue;
use crate::timestamps::uuid_at;

/// How many of 1 000 products have 1, 2, … 12 variants: 2.5 on average, with a heavy tail.
const COUNTS: [u64; 12] = [470, 180, 120, 80, 50, 35, 15, 15, 10, 10, 5, 10];

/// A variant, without its texts.
#[derive(Debug)]
pub struct Variant {
    /// Its id.
    pub id: Uuid,
    /// Its price.
    pub price_cents: i64,
    /// Its former price.
    pub compare_at_cents: Option<i64>,
    /// How many are in stock.
    pub stock_quantity: i32,
    /// Its colour, as an index into the colours.
    colour: usize,
    /// Its size, volume or pack, as an index into the values of the option.
    step: usize,
}

/// What a product's row keeps of its variants.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// The lowest price.
    pub price_cents: i64,
    /// The former price of the variant that has it.
    pub compare_at_cents: Option<i64>,
    /// Whether any variant is in stock.
    pub in_stock: bool,
}

/// The variants of a product, in their order.
pub fn of(catalogue: &Catalogue, product: &Product<'_>) -> Vec<Variant> {
    let mut rng = RowRng::new(catalogue.seed, Purpose::Variants, product.index);
    let values = product.category.options.values();
    let count = rng.weighted(&COUNTS) + 1;
    // Few variants differ in size alone; more come in several colours.
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

/// What a product's row keeps of its variants: the same as the triggers of the schema make.
pub fn summary(variants: &[Variant]) -> Summary {
    // `min_by_key` takes the first of equals, which is the one with the lowest position.
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
    let alone = variants.len() == 1;
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
            .text(&variant.title(&product, alone));
        if alone {
            rows.jsonb(&json_object([("Colour", colour)]));
        } else {
            rows.jsonb(&json_object([(option.name(), step), ("Colour", colour)]));
        }
    }
}

/// What the variant at a position is known by outside.
pub fn sku(product: &Product<'_>, position: usize) -> String {
    let prefix = &product.brand.sku_prefix;
    format!("{prefix}-{:07}-{:02}", product.index + 1, position + 1)
}

impl Variant {
    /// What it is called beside its product; one that has no siblings, by its colour alone.
    pub fn title(&self, product: &Product<'_>, alone: bool) -> String {
        let colour = COLOURS[self.colour];
        if alone {
            return colour.to_owned();
        }
        let step = product.category.options.values()[self.step];
        format!("{step} / {colour}")
    }
}

/// Most shelves end in .99, many in .95, .00 or .49.
fn shelf_price_cents(cents: f64, ending: usize) -> i64 {
    let euros = ((cents / 100.0) as i64).max(1);
    match ending {
        0 => euros * 100 + 99,
        1 => euros * 100 + 95,
        2 => (euros + 1) * 100,
        _ => euros * 100 + 49,
    }
}

/// Of 100 variants 8 are sold out, 62 have 5 to 300 left, low numbers being likelier, and 30 have more.
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
