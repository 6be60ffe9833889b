//! What costs the api CPU and no input or output: cursors, naming a request, building an answer, access tokens, and
//! compression at the levels that were to choose from. `cargo bench -p api`; a name after `--` runs a part of it.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use api::catalog::browse_products::ProductPage;
use api::catalog::filters::ProductFilters;
use api::catalog::product::{Fields, Image, Named, ProductImage, ProductItem, Rating, Variant};
use api::web::answer::Answer;
use api::web::cursor::{Cursor, CursorKeys};
use api::web::query::QueryParameters as _;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::value::RawValue;
use shop::access_token::AccessTokens;
use shop::money::{Currency, Money};
use uuid::Uuid;

/// Items of a page when a request doesn't say.
const ITEMS: u64 = 20;
const LIST: &str = "/v1/products?category=coats&min_price=1000&in_stock=true&sort=price_asc";

fn cursors(criterion: &mut Criterion) {
    let keyring = "bench:0123456789abcdef0123456789abcdef".parse();
    let keys = CursorKeys::new(&keyring.expect("32 bytes are enough"));
    let cursor = Cursor {
        matching: 0,
        key: 129_900,
        id: id(7),
    };
    let text = keys.encode(LIST, &cursor);
    let mut group = criterion.benchmark_group("cursor");
    group.bench_function("encode", |bencher| {
        bencher.iter(|| keys.encode(black_box(LIST), black_box(&cursor)));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| keys.decode(black_box(LIST), black_box(&text)));
    });
    let mut forged = text.clone();
    // In the sort key: its signature has to be computed before it is refused.
    forged.replace_range(8..9, if &text[8..9] == "B" { "C" } else { "B" });
    assert!(keys.decode(LIST, &forged).is_err(), "a changed cursor is refused");
    group.bench_function("refuse", |bencher| {
        bencher.iter(|| keys.decode(black_box(LIST), black_box(&forged)).is_err());
    });
    group.finish();
}

/// From the query string to the canonical name that keys of the cache and cursors are made from.
fn cache_keys(criterion: &mut Criterion) {
    let query = "in_stock=true&category=coats&q=winter%20wool&max_price=20000&min_price=1000";
    criterion.bench_function("cache_key/of_a_query_string", |bencher| {
        bencher.iter(|| {
            let filters = ProductFilters::parse(Some(black_box(query))).expect("good filters");
            let mut key = String::with_capacity(160);
            filters.write_canonical(&mut key);
            key
        });
    });
}

fn answers(criterion: &mut Criterion) {
    let texts = Texts::new();
    let bare = texts.page(false);
    let whole = texts.page(true);
    let mut group = criterion.benchmark_group("answer");
    for (name, page) in [("of_20", &bare), ("of_20_with_details", &whole)] {
        let bytes = serialize(page);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("serialize", name), |bencher| {
            bencher.iter(|| serialize(black_box(page)));
        });
        group.bench_function(BenchmarkId::new("store", name), |bencher| {
            bencher.iter(|| Answer::new(page.next, black_box(&bytes)));
        });
        let stored = bytes::Bytes::copy_from_slice(Answer::new(page.next, &bytes).stored());
        assert!(
            Answer::from_stored(stored.clone()).is_some(),
            "what was stored is read"
        );
        group.bench_function(BenchmarkId::new("read_stored", name), |bencher| {
            bencher.iter(|| Answer::from_stored(black_box(stored.clone())));
        });
    }
    group.finish();
}

fn compression(criterion: &mut Criterion) {
    let texts = Texts::new();
    let bytes = serialize(&texts.page(true));
    let mut group = criterion.benchmark_group("compression");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.sample_size(20);
    for level in [1, 6, 9] {
        let size = gzip(&bytes, level).len();
        assert!(size < bytes.len());
        let name = BenchmarkId::new("gzip", format!("{level} to {size} of {}", bytes.len()));
        group.bench_function(name, |bencher| bencher.iter(|| gzip(black_box(&bytes), level)));
    }
    for level in [1, 4, 5, 11] {
        let size = brotli(&bytes, level).len();
        assert!(size < bytes.len());
        let name = BenchmarkId::new("brotli", format!("{level} to {size} of {}", bytes.len()));
        group.bench_function(name, |bencher| bencher.iter(|| brotli(black_box(&bytes), level)));
    }
    group.finish();
}

fn serialize(page: &ProductPage<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(16 * 1024);
    serde_json::to_writer(&mut body, page).expect("a page always serializes");
    body
}

fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn brotli(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut compressed = Vec::new();
    // The buffer and window that tower-http's encoder has.
    let mut encoder = brotli::CompressorWriter::new(&mut compressed, 4096, level, 22);
    encoder.write_all(bytes).expect("a vector takes all");
    drop(encoder);
    compressed
}

/// Spread over all bits, as an id's random part is: ids hardly compress, and they are a good part of an answer.
fn id(number: u64) -> Uuid {
    let spread = |seed: u64| {
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    Uuid::from_u64_pair(spread(number * 2 + 1), spread(number * 2 + 2))
}

/// What a page borrows.
struct Texts {
    products: Vec<(String, String, String)>,
    variants: Vec<Vec<Variant>>,
    images: Vec<Vec<ProductImage>>,
}

impl Texts {
    fn new() -> Self {
        let adjectives = [
            "Merino",
            "Brushed",
            "Everyday",
            "Packable",
            "Heavyweight",
            "Quilted",
            "Ribbed",
        ];
        let nouns = [
            "Overshirt",
            "Rain Parka",
            "Crew Sweater",
            "Canvas Tote",
            "Chore Jacket",
        ];
        let mut texts = Self {
            products: Vec::new(),
            variants: Vec::new(),
            images: Vec::new(),
        };
        for number in 0..ITEMS {
            let adjective = adjectives[number as usize % adjectives.len()];
            let noun = nouns[number as usize % nouns.len()];
            let slug = format!("{adjective}-{noun}-{number}")
                .to_lowercase()
                .replace(' ', "-");
            let url = |place: u64| format!("https://images.example/{}.jpg", id(number * 8 + place).simple());
            texts
                .variants
                .push((0..4).map(|place| variant(number, place)).collect());
            let image = |place| ProductImage {
                url: url(place),
                alt: format!("{adjective} {noun}, view {place}"),
            };
            texts.images.push((0..3).map(image).collect());
            texts.products.push((slug, format!("{adjective} {noun}"), url(0)));
        }
        texts
    }

    fn page(&self, with_details: bool) -> ProductPage<'_> {
        let items = self
            .products
            .iter()
            .enumerate()
            .map(|(at, (slug, title, url))| ProductItem {
                id: id(at as u64),
                slug,
                title,
                brand: Named {
                    slug: "north-harbour",
                    name: "North Harbour",
                },
                category: Named {
                    slug: "coats",
                    name: "Coats & Jackets",
                },
                price: euros(4_990 + at as i64 * 310),
                compare_at_price: (at % 3 == 0).then(|| euros(6_990 + at as i64 * 310)),
                in_stock: at % 7 != 0,
                rating: Rating {
                    average: 3.5 + (at % 15) as f64 / 10.0,
                    count: at as i32 * 11 % 97,
                },
                image: Some(Image { url, alt: title }),
                variants: with_details.then(|| self.variants[at].as_slice()),
                images: with_details.then(|| self.images[at].as_slice()),
                fields: Fields::ALL,
            });
        ProductPage {
            items: items.collect(),
            next: Some("/v1/products?category=coats&sort=price_asc&limit=20&after=AQAAAAAAAAAB"),
        }
    }
}

fn variant(product: u64, place: u64) -> Variant {
    let size = ["S", "M", "L", "XL"][place as usize % 4];
    let options = format!(r#"{{"Size":"{size}","Colour":"Navy"}}"#);
    Variant {
        sku: format!("NH-{product:05}-{size}"),
        title: format!("{size} / Navy"),
        options: RawValue::from_string(options).expect("written as JSON"),
        price: euros(4_990 + product as i64 * 310),
        compare_at_price: None,
        available: !(product + place).is_multiple_of(5),
    }
}

fn euros(amount: i64) -> Money {
    Money {
        amount,
        currency: Currency::EUR,
    }
}

/// What each request of a customer pays for being known under `sessions=jwt`.
fn access_tokens(criterion: &mut Criterion) {
    let keyring = "bench:0123456789abcdef0123456789abcdef".parse();
    let tokens = AccessTokens::new(&keyring.expect("32 bytes are enough"));
    let token = tokens.sign(id(1), id(2), "customer", Duration::from_secs(900));
    assert!(tokens.verify(&token).is_ok(), "what was signed is accepted");
    // One digit of the signature: all of it has to be computed before it is refused.
    let mut forged = token.clone();
    let at = token.len() - 10;
    forged.replace_range(at..=at, if &token[at..=at] == "B" { "C" } else { "B" });
    assert!(tokens.verify(&forged).is_err(), "a changed token is refused");
    let mut group = criterion.benchmark_group("access_token");
    group.bench_function("sign", |bencher| {
        bencher.iter(|| tokens.sign(id(1), id(2), black_box("customer"), Duration::from_secs(900)));
    });
    group.bench_function("verify", |bencher| {
        bencher.iter(|| tokens.verify(black_box(&token)))
    });
    group.bench_function("refuse", |bencher| {
        bencher.iter(|| tokens.verify(black_box(&forged)).is_err())
    });
    group.finish();
}

criterion_group!(benches, cursors, cache_keys, answers, compression, access_tokens);
criterion_main!(benches);
