//! The parcels of the orders that were sent.

use super::orders::Head;
use crate::copy_format::Rows;
use crate::tables::catalogue::Catalogue;

/// Writes the row of an order's parcel, if it has one.
pub fn row(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let order = Head::at(catalogue, index);
    let Some(sent_us) = order.course.at_us("fulfilled") else {
        return;
    };
    rows.row(5)
        .uuid(order.id)
        .timestamp(sent_us)
        .text(&format!("lbl_{}", order.id.simple()))
        .text(&format!("BK{:016X}", order.id.as_u128() as u64));
    match order.course.at_us("delivered") {
        Some(at_us) => rows.timestamp(at_us),
        None => rows.null(),
    };
}
