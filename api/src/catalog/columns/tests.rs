//! The columns count like a model that counts rows, for any sequence of writes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Write {
    Put(ProductRow),
    Remove(Uuid),
}

/// Few ids, so that products are replaced, removed and inserted again.
fn id(kind: u128, number: u8) -> Uuid {
    Uuid::from_u128(kind << 64 | u128::from(number))
}

fn product() -> impl Strategy<Value = ProductRow> {
    // Prices on, below and above the bounds of bands.
    let price = (0..PRICE_BANDS.len(), -1..=1_i64).prop_map(|(band, by)| (PRICE_BANDS[band] + by).max(0));
    (
        0..40_u8,
        0..5_u8,
        0..6_u8,
        price,
        any::<bool>(),
        prop::bool::weighted(0.8),
    )
        .prop_map(
            |(number, brand, category, price_cents, in_stock, active)| ProductRow {
                id: id(0, number),
                brand_id: id(1, brand),
                category_id: id(2, category),
                price_cents,
                in_stock,
                active,
            },
        )
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        4 => product().prop_map(Write::Put),
        1 => (0..40_u8).prop_map(|number| Write::Remove(id(0, number))),
    ];
    prop::collection::vec(write, 0..200)
}

/// Includes brands and categories without products.
fn filter() -> impl Strategy<Value = RowFilter> {
    let price = || prop::option::of(0..60_000_i64);
    (
        prop::option::weighted(0.3, (0..7_u8).prop_map(|number| id(1, number))),
        prop::option::weighted(
            0.4,
            prop::collection::vec((0..8_u8).prop_map(|number| id(2, number)), 0..4),
        ),
        price(),
        price(),
        prop::option::weighted(0.3, any::<bool>()),
    )
        .prop_map(|(brand, categories, min_price, max_price, in_stock)| RowFilter {
            brand,
            categories,
            min_price,
            max_price,
            in_stock,
        })
}

fn passes(product: &ProductRow, filter: &RowFilter) -> bool {
    product.active
        && filter.brand.is_none_or(|brand| product.brand_id == brand)
        && filter
            .categories
            .as_ref()
            .is_none_or(|categories| categories.contains(&product.category_id))
        && filter.min_price.is_none_or(|price| product.price_cents >= price)
        && filter.max_price.is_none_or(|price| product.price_cents <= price)
        && filter
            .in_stock
            .is_none_or(|in_stock| product.in_stock == in_stock)
}

fn count_rows<'p>(products: impl Iterator<Item = &'p ProductRow>, filter: &RowFilter) -> Counts {
    let (mut brands, mut categories) = (BTreeMap::<Uuid, u32>::new(), BTreeMap::<Uuid, u32>::new());
    let mut counts = Counts::default();
    for product in products.filter(|product| passes(product, filter)) {
        *brands.entry(product.brand_id).or_default() += 1;
        *categories.entry(product.category_id).or_default() += 1;
        let band = PRICE_BANDS
            .iter()
            .rposition(|from| *from <= product.price_cents)
            .unwrap();
        counts.bands[band] += 1;
        match product.in_stock {
            true => counts.in_stock += 1,
            false => counts.out_of_stock += 1,
        }
    }
    counts.brands = brands.into_iter().collect();
    counts.categories = categories.into_iter().collect();
    counts
}

fn sorted(mut counts: Counts) -> Counts {
    counts.brands.sort_unstable();
    counts.categories.sort_unstable();
    counts
}

proptest! {
    #[test]
    fn columns_count_like_rows(writes in writes(), filters in prop::collection::vec(filter(), 1..8)) {
        let columns = ProductColumns::with_capacity(0);
        let mut rows = BTreeMap::new();
        for write in writes {
            match write {
                Write::Put(product) => {
                    columns.put(&[product]);
                    rows.insert(product.id, product);
                }
                Write::Remove(id) => {
                    columns.remove([id]);
                    rows.remove(&id);
                }
            }
        }
        let everything = RowFilter::default();
        let by_category = count_rows(rows.values(), &everything).categories;
        let counted = Counts { categories: columns.by_category(), ..Counts::default() };
        prop_assert_eq!(sorted(counted).categories, by_category);
        for filter in filters.iter().chain([&everything]) {
            prop_assert_eq!(sorted(columns.count_now(filter)), count_rows(rows.values(), filter));
            // Every second product, and an unknown one.
            let ids: Vec<Uuid> = rows.keys().copied().step_by(2).chain([id(0, 255)]).collect();
            let expected = count_rows(ids.iter().filter_map(|id| rows.get(id)), filter);
            prop_assert_eq!(sorted(columns.count_ids(&ids, filter)), expected);
        }
    }
}

fn many(products: u128) -> ProductColumns {
    let columns = ProductColumns::with_capacity(products as usize);
    let rows: Vec<ProductRow> = (0..products)
        .map(|number| ProductRow {
            id: Uuid::from_u128(number),
            brand_id: id(1, (number % 7) as u8),
            category_id: id(2, (number % 11) as u8),
            price_cents: (number % 60_000) as i64,
            in_stock: number % 3 == 0,
            active: true,
        })
        .collect();
    columns.put(&rows);
    columns
}

#[test]
fn a_pass_that_releases_the_lock_in_between_counts_each_product_once() {
    let products = 2 * COUNT_BATCH as u128 + 77;
    let columns = many(products);
    let filter = RowFilter {
        min_price: Some(0),
        ..RowFilter::default()
    };
    let counts = columns.count_now(&filter);
    assert_eq!(u128::from(counts.in_stock + counts.out_of_stock), products);
    assert_eq!(sorted(counts), sorted(columns.count_now(&RowFilter::default())));
}

#[test]
fn a_product_takes_at_most_64_bytes() {
    for products in [50_000, 100_000, 120_000] {
        let columns = many(products);
        let bytes = columns.read().bytes();
        assert!(bytes <= 64 * products as usize, "{bytes} for {products}");
        // Inserted one by one as well, with growing capacity.
        let grown = ProductColumns::with_capacity(0);
        for number in 0..products {
            let row = ProductRow {
                id: Uuid::from_u128(number),
                brand_id: id(1, 0),
                category_id: id(2, 0),
                price_cents: 0,
                in_stock: true,
                active: true,
            };
            grown.put(&[row]);
        }
        let bytes = grown.read().bytes();
        assert!(bytes <= 64 * products as usize, "{bytes} for {products}, grown");
    }
}

#[test]
fn a_removed_entry_is_reused() {
    let columns = many(1_000);
    let before = columns.read().len();
    for number in 0..100 {
        columns.remove([Uuid::from_u128(number)]);
    }
    let rows: Vec<ProductRow> = (2_000..2_100_u128)
        .map(|number| ProductRow {
            id: Uuid::from_u128(number),
            brand_id: id(1, 1),
            category_id: id(2, 1),
            price_cents: 1,
            in_stock: true,
            active: true,
        })
        .collect();
    columns.put(&rows);
    assert_eq!(columns.read().len(), before);
}
