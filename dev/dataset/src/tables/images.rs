//! The images of products.

use super::products::Product;
use crate::copy_format::Rows;
use crate::corpora::names::slug;
use crate::rng::{Purpose, RowRng};
use crate::tables::catalogue::Catalogue;
use crate::timestamps::uuid_at;

/// How many of 100 products have 1, 2, … 8 images: 3 on average.
const COUNTS: [u64; 8] = [20, 25, 20, 15, 10, 5, 3, 2];

const VIEWS: [&str; 8] = [
    "front",
    "side",
    "back",
    "detail",
    "in use",
    "packaging",
    "from above",
    "size comparison",
];

/// Writes the rows of a product's images.
pub fn rows(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let product = Product::at(catalogue, index);
    let mut rng = RowRng::new(catalogue.seed, Purpose::Images, index);
    let count = rng.weighted(&COUNTS) + 1;
    for position in 0..count {
        let id = uuid_at(product.created_us, index, position as u64, &mut rng);
        rows.row(5).uuid(id).uuid(product.id).smallint(position as i16);
        rows.text(&url(catalogue, &product, position))
            .text(&alt(&product, position));
    }
}

/// The address of an image, as a content delivery network gives it.
pub fn url(catalogue: &Catalogue, product: &Product<'_>, position: usize) -> String {
    // Spread over folders by some bits of the id, as object stores recommend.
    let folder = product.id.as_u128() as u16;
    let noun = slug(product.noun);
    let (seed, number) = (catalogue.seed, product.index + 1);
    format!(
        "https://cdn.example.com/{seed}/{folder:04x}/{noun}-{number}-{}.webp",
        position + 1
    )
}

/// What an image shows.
pub fn alt(product: &Product<'_>, position: usize) -> String {
    format!("{}, {}", product.title, VIEWS[position])
}
