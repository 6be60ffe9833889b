//! What was bought: products as often as they sell, at the prices of their variants.

use crate::rng::{Purpose, RowRng};
use crate::tables::catalogue::Catalogue;
use crate::tables::products::Product;
use crate::tables::variants::{self, Variant};

/// How many of 100 orders have 1, 2, … 10 lines: 3 on average.
const COUNTS: [u64; 10] = [28, 24, 17, 11, 7, 5, 3, 2, 2, 1];

/// How many of 100 lines are of 1, 2, … 5 units.
const QUANTITIES: [u64; 5] = [82, 12, 4, 1, 1];

/// A line of an order.
#[derive(Debug)]
pub struct Line<'a> {
    /// What was bought.
    pub product: Product<'a>,
    /// Which of its variants, by position.
    pub position: usize,
    /// That variant.
    pub variant: Variant,
    /// Whether the product has no other.
    pub alone: bool,
    /// How many units.
    pub quantity: i32,
}

impl Line<'_> {
    /// What it costs.
    pub fn total_cents(&self) -> i64 {
        self.variant.price_cents * i64::from(self.quantity)
    }
}

/// The lines of an order that was made at a time, each of another product.
pub fn of(catalogue: &Catalogue, index: u64, created_us: i64) -> Vec<Line<'_>> {
    let mut rng = RowRng::new(catalogue.seed, Purpose::OrderLines, index);
    let count = rng.weighted(&COUNTS) + 1;
    let mut products: Vec<u64> = Vec::with_capacity(count);
    let mut lines = Vec::with_capacity(count);
    while lines.len() < count {
        let number = catalogue.draw_product(created_us, &mut rng);
        if products.contains(&number) {
            continue;
        }
        products.push(number);
        let product = Product::at(catalogue, number);
        let mut variants = variants::of(catalogue, &product);
        let position = rng.below(variants.len() as u64) as usize;
        lines.push(Line {
            alone: variants.len() == 1,
            variant: variants.swap_remove(position),
            product,
            position,
            quantity: rng.weighted(&QUANTITIES) as i32 + 1,
        });
    }
    lines
}
