//! Loads the variants and images of products: the lesson `listing`.
//!
//! Both arms return the details in the order of the products, with variants and images sorted by position.

#[cfg(feature = "baselines")]
pub mod n_plus_one;

pub mod batched;

use shop::money::{Currency, Money};
use sqlx::types::Json;
use uuid::Uuid;

use super::product::{Details, ProductImage, Variant, compare_at_price};
use crate::database::InstrumentedConnection;

techniques::component! {
    /// Loads variants and images.
    #[derive(Debug, Clone, Copy)]
    pub ProductDetails: techniques::Listing {
        baseline NPlusOne = n_plus_one::NPlusOne,
        optimized Batched = batched::Batched,
    }
    pub select();

    /// The details of each product, in the order of `products`, with at most `most` variants and images per product.
    async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        products: &[ProductKey],
        include: Include,
        most: i64,
    ) -> Result<Vec<Details>, sqlx::Error>;
}

/// A product whose details are loaded.
#[derive(Debug, Clone, Copy)]
pub struct ProductKey {
    pub id: Uuid,
    /// Its variants are priced in it. The caller has read it with the product.
    pub currency: Currency,
}

/// The value of `include=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Include {
    pub variants: bool,
    pub images: bool,
}

impl Include {
    /// The words of a list's parameter `include`.
    pub const WORDS: &[&str] = &["variants", "images"];
}

impl FromIterator<&'static str> for Include {
    fn from_iter<I: IntoIterator<Item = &'static str>>(words: I) -> Self {
        words.into_iter().fold(Self::default(), |all, word| Self {
            variants: all.variants || word == "variants",
            images: all.images || word == "images",
        })
    }
}

impl ProductDetails {
    /// The details of each product, in the order of `products`. Returns at most `most` variants and images per product,
    /// because a page of a hundred large products could take hundreds of megabytes. Executes no statement if `include` is
    /// empty.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn load(
        self,
        connection: &mut InstrumentedConnection<'_>,
        products: &[ProductKey],
        include: Include,
        most: u16,
    ) -> Result<Vec<Details>, sqlx::Error> {
        if products.is_empty() || include == Include::default() {
            return Ok(products.iter().map(|_| Details::default()).collect());
        }
        self.read(connection, products, include, i64::from(most)).await
    }
}

fn variant(row: VariantRow, currency: Currency) -> Variant {
    Variant {
        sku: row.sku,
        title: row.title,
        options: row.options.0,
        price: Money {
            amount: row.price_cents,
            currency,
        },
        compare_at_price: compare_at_price(row.compare_at_cents, currency),
        available: row.stock_quantity > 0,
    }
}

#[derive(sqlx::FromRow)]
struct VariantRow {
    product_id: Uuid,
    sku: String,
    title: String,
    options: Json<Box<serde_json::value::RawValue>>,
    price_cents: i64,
    compare_at_cents: Option<i64>,
    stock_quantity: i32,
}

#[derive(sqlx::FromRow)]
struct ImageRow {
    product_id: Uuid,
    url: String,
    alt: String,
}

fn image(row: ImageRow) -> ProductImage {
    ProductImage {
        url: row.url,
        alt: row.alt,
    }
}
