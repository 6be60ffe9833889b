//! The reviews, in the order in which they were written: the reviews of one product are scattered over the table, as
//! in a shop that has grown, not side by side.

use crate::copy_format::Rows;
use crate::corpora::names::FIRST_NAMES;
use crate::corpora::reviews::review;
use crate::rng::{Purpose, RowRng};
use crate::tables::catalogue::{Catalogue, OPENED_US};
use crate::timestamps::{Timeline, uuid_at};

/// How many of 100 reviews have 1, 2, … 5 stars, for liked, usual and disliked products: J-shaped, as in real shops.
const STARS: [[u64; 5]; 3] = [[3, 2, 4, 16, 75], [7, 4, 7, 20, 62], [22, 11, 14, 21, 32]];

/// The first month passes without reviews.
const FIRST_REVIEW_US: i64 = OPENED_US + 30 * 86_400 * 1_000_000;

/// What a review is of, and its stars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReviewSubject {
    /// The number of the product.
    pub product: u64,
    /// One to five.
    pub stars: i16,
}

/// Draws the product of a review, as often as it sells, among those that existed then.
pub fn subject(catalogue: &Catalogue, index: u64) -> ReviewSubject {
    let mut rng = RowRng::new(catalogue.seed, Purpose::ReviewSubject, index);
    let product = catalogue.draw_product(times(catalogue).at_us(index), &mut rng);
    let weights = match product_quality(product) {
        0..2 => &STARS[0],
        2..8 => &STARS[1],
        _ => &STARS[2],
    };
    ReviewSubject {
        product,
        stars: rng.weighted(weights) as i16 + 1,
    }
}

/// Writes the row of a review.
pub fn row(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let subject = subject(catalogue, index);
    let created_us = times(catalogue).at_us(index);
    let mut rng = RowRng::new(catalogue.seed, Purpose::ReviewText, index);
    let id = uuid_at(created_us, index, 0, &mut rng);
    let initial = (b'A' + rng.below(26) as u8) as char;
    let author = format!("{} {initial}.", rng.pick(&FIRST_NAMES));
    let (title, body) = review(subject.stars, &mut rng);
    rows.row(7)
        .uuid(id)
        .uuid(catalogue.product_id(subject.product))
        .timestamp(created_us);
    rows.smallint(subject.stars).text(&author).text(title).text(&body);
}

fn times(catalogue: &Catalogue) -> Timeline {
    Timeline::new(
        catalogue.seed,
        Purpose::ReviewText,
        FIRST_REVIEW_US,
        catalogue.scale.reviews(),
    )
}

/// Two of ten products are liked, two are disliked. Knuth's multiplicative hash spreads neighbours.
fn product_quality(product: u64) -> u64 {
    (product.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 10
}
