//! The generated catalogue: the same seed gives the same bytes, and other seeds others.

use dataset::tables::digests;
use dataset::{Catalogue, Scale};

#[test]
fn a_seed_decides_every_byte() {
    let first = digests(&Catalogue::new(Scale::Xs, 1));
    assert_eq!(first, digests(&Catalogue::new(Scale::Xs, 1)));
    for ((table, one), (_, two)) in first.iter().zip(digests(&Catalogue::new(Scale::Xs, 2))) {
        assert_ne!(*one, two, "{table:?} is the same for two seeds");
    }
}

#[test]
fn the_data_has_the_shape_of_a_shop() {
    let catalogue = Catalogue::new(Scale::Xs, 1);
    let reviews: Vec<u32> = (0..1_000)
        .map(|product| catalogue.reviews_of(product).count)
        .collect();
    assert_eq!(u64::from(reviews.iter().sum::<u32>()), Scale::Xs.reviews());
    let without = reviews.iter().filter(|count| **count == 0).count();
    let largest = reviews.iter().max().copied().expect("products");
    assert!((300..800).contains(&without), "{without} products have no review");
    assert!(largest > 50, "the best seller has {largest} reviews");
    let active = (0..1_000)
        .filter(|product| dataset::tables::products::is_active(&catalogue, *product))
        .count();
    assert!(
        (975..=998).contains(&active),
        "{active} of 1000 products are active"
    );
}
