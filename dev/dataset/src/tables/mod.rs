//! The tables, in the order in which they are loaded, and their rows in chunks.
//!
//! A chunk is a pure function of the catalogue, the table and its number: chunks can be made anywhere in any order,
//! and give the same bytes.

use sha2::{Digest, Sha256};

pub mod catalogue;

pub mod addresses;
pub mod brands;
pub mod categories;
pub mod coupons;
pub mod customers;
pub mod images;
pub mod order_events;
pub mod order_lines;
pub mod orders;
pub mod products;
pub mod reviews;
pub mod shipments;
pub mod variants;

use self::catalogue::Catalogue;
use super::copy_format::{HEADER, Rows, TRAILER};

/// How many generated things (products, reviews, …) a chunk covers: some hundred kilobytes to two megabytes.
const CHUNK: u64 = 1_000;

/// A generated table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The tree of categories.
    Categories,
    /// The brands.
    Brands,
    /// The products.
    Products,
    /// Their variants.
    Variants,
    /// Their images.
    Images,
    /// Their reviews.
    Reviews,
    /// Who buys.
    Customers,
    /// Where they live.
    Addresses,
    /// What takes money off an order.
    Coupons,
    /// The orders.
    Orders,
    /// What was bought.
    OrderLines,
    /// What became of the orders.
    OrderEvents,
    /// The parcels.
    Shipments,
}

impl Table {
    /// Every table, those that are referred to before those that refer.
    pub const ALL: [Table; 13] = [
        Table::Categories,
        Table::Brands,
        Table::Products,
        Table::Variants,
        Table::Images,
        Table::Reviews,
        Table::Customers,
        Table::Addresses,
        Table::Coupons,
        Table::Orders,
        Table::OrderLines,
        Table::OrderEvents,
        Table::Shipments,
    ];

    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Categories => "categories",
            Table::Brands => "brands",
            Table::Products => "products",
            Table::Variants => "variants",
            Table::Images => "images",
            Table::Reviews => "reviews",
            Table::Customers => "customers",
            Table::Addresses => "addresses",
            Table::Coupons => "coupons",
            Table::Orders => "orders",
            Table::OrderLines => "order_lines",
            Table::OrderEvents => "order_events",
            Table::Shipments => "shipments",
        }
    }

    /// Its columns, in the order in which rows give them.
    pub const fn columns(self) -> &'static str {
        match self {
            Table::Categories => "id, parent_id, slug, name, position",
            Table::Brands => "id, slug, name",
            Table::Products => products::COLUMNS,
            Table::Variants => {
                "id, product_id, price_cents, compare_at_cents, stock_quantity, position, sku, title, options"
            }
            Table::Images => "id, product_id, position, url, alt",
            Table::Reviews => "id, product_id, created_at, rating, author_name, title, body",
            Table::Customers => "id, created_at, role, email, name, password_hash",
            Table::Addresses => {
                "id, customer_id, created_at, name, line1, line2, city, postal_code, region, country"
            }
            Table::Coupons => {
                "code, percent, amount_cents, currency, minimum_cents, valid_from, valid_until, max_uses, uses"
            }
            Table::Orders => orders::COLUMNS,
            Table::OrderLines => {
                "order_id, position, variant_id, product_id, quantity, unit_price_cents, sku, title, variant_title"
            }
            Table::OrderEvents => "order_id, id, at, event",
            Table::Shipments => "order_id, created_at, carrier_label, tracking_number, delivered_at",
        }
    }

    /// How many chunks it has.
    pub fn chunks(self, catalogue: &Catalogue) -> u64 {
        self.things(catalogue).div_ceil(CHUNK)
    }

    /// The rows of one chunk.
    pub fn chunk(self, catalogue: &Catalogue, chunk: u64) -> Rows {
        let start = chunk * CHUNK;
        let end = (start + CHUNK).min(self.things(catalogue));
        let mut rows = Rows::with_capacity(1 << 20);
        for index in start..end {
            match self {
                Table::Categories => categories::row(catalogue, index, &mut rows),
                Table::Brands => brands::row(catalogue, index, &mut rows),
                Table::Products => products::row(catalogue, index, &mut rows),
                Table::Variants => variants::rows(catalogue, index, &mut rows),
                Table::Images => images::rows(catalogue, index, &mut rows),
                Table::Reviews => reviews::row(catalogue, index, &mut rows),
                Table::Customers => customers::row(catalogue, index, &mut rows),
                Table::Addresses => addresses::rows(catalogue, index, &mut rows),
                Table::Coupons => coupons::row(catalogue, index, &mut rows),
                Table::Orders => orders::row(catalogue, index, &mut rows),
                Table::OrderLines => order_lines::rows(catalogue, index, &mut rows),
                Table::OrderEvents => order_events::rows(catalogue, index, &mut rows),
                Table::Shipments => shipments::row(catalogue, index, &mut rows),
            }
        }
        rows
    }

    /// What its rows are counted by: variants and images come by the product, lines and events by the order.
    fn things(self, catalogue: &Catalogue) -> u64 {
        match self {
            Table::Categories => catalogue.categories.len() as u64,
            Table::Brands => catalogue.brands.len() as u64,
            Table::Products | Table::Variants | Table::Images => catalogue.scale.products(),
            Table::Reviews => catalogue.scale.reviews(),
            Table::Customers | Table::Addresses => catalogue.scale.customers(),
            Table::Coupons => coupons::COUPONS.len() as u64,
            Table::Orders | Table::OrderLines | Table::OrderEvents | Table::Shipments => {
                catalogue.scale.orders()
            }
        }
    }
}

/// SHA-256 over the bytes of a table as `COPY` gets them, header and trailer included.
#[derive(Debug)]
pub struct TableDigest(Sha256);

impl Default for TableDigest {
    fn default() -> Self {
        Self(Sha256::new_with_prefix(HEADER))
    }
}

impl TableDigest {
    /// Adds the next chunk.
    pub fn add(&mut self, rows: &Rows) {
        self.0.update(rows.bytes());
    }

    /// The digest in hexadecimal digits.
    pub fn finish(mut self) -> String {
        self.0.update(TRAILER);
        hex(&self.0.finalize())
    }
}

/// The digests of all tables of a catalogue, made without a database.
pub fn digests(catalogue: &Catalogue) -> Vec<(Table, String)> {
    Table::ALL
        .into_iter()
        .map(|table| {
            let mut digest = TableDigest::default();
            for chunk in 0..table.chunks(catalogue) {
                digest.add(&table.chunk(catalogue, chunk));
            }
            (table, digest.finish())
        })
        .collect()
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
