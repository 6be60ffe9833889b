//! The lines of orders, with the texts and prices that their variants have.

use super::orders::{Head, lines};
use super::variants;
use crate::copy_format::Rows;
use crate::tables::catalogue::Catalogue;

/// Writes the rows of an order's lines.
pub fn rows(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let order = Head::at(catalogue, index);
    for (place, line) in lines::of(catalogue, index, order.created_us).iter().enumerate() {
        rows.row(9)
            .uuid(order.id)
            .smallint(place as i16)
            .uuid(line.variant.id)
            .uuid(line.product.id)
            .integer(line.quantity)
            .bigint(line.variant.price_cents)
            .text(&variants::sku(&line.product, line.position))
            .text(&line.product.title)
            .text(&line.variant.title(&line.product, line.alone));
    }
}
