//! The timelines of orders.

use super::orders::Head;
use crate::copy_format::Rows;
use crate::rng::{Purpose, RowRng};
use crate::tables::catalogue::Catalogue;
use crate::timestamps::uuid_at;

/// Writes the rows of an order's events.
pub fn rows(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let order = Head::at(catalogue, index);
    let mut rng = RowRng::new(catalogue.seed, Purpose::OrderEvents, index);
    for (place, (event, at_us)) in order.course.events.iter().enumerate() {
        rows.row(4)
            .uuid(order.id)
            .uuid(uuid_at(*at_us, index, place as u64, &mut rng))
            .timestamp(*at_us)
            .text(event);
    }
}
