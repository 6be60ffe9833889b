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

/// A change of these bytes is a change of all data that was measured: recorded runs no longer compare with new ones.
#[test]
fn the_bytes_are_those_of_earlier_runs() {
    let digests = digests(&Catalogue::new(Scale::Xs, 1));
    let texts: Vec<String> = digests
        .iter()
        .map(|(table, digest)| format!("{} {}", table.name(), &digest[..12]))
        .collect();
    assert_eq!(
        texts,
        [
            "categories 43f245362166",
            "brands 024c8b6cd6ec",
            "products 021dc5f5c04d",
            "variants ffb10522a61d",
            "images f672f821f77f",
            "reviews 831113153291",
            "customers b9b60f65b950",
            "addresses bb60d5ed2a4e",
            "coupons 40448f8ab255",
            "orders ca1532d6f054",
            "order_lines 3effe91afc6d",
            "order_events 9c85d22f4407",
            "shipments f6d01a436359"
        ]
    );
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
