//! A product in responses, and its conversion from a row.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use shop::money::{Currency, Money};
use sqlx::Row;
use sqlx::postgres::PgRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::product_details::ProductKey;
use super::reference::Snapshot;
pub use crate::web::money::MoneySchema;

/// A brand or a category.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Named<'r> {
    /// Unique; value for `brand=` or `category=`.
    pub slug: &'r str,
    pub name: &'r str,
}

/// A summary of a product's reviews.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Rating {
    /// Mean of the stars, 1 to 5, to two places; 0 without reviews.
    pub average: f64,
    /// Number of reviews.
    pub count: i32,
}

/// An image of a product.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Image<'r> {
    pub url: &'r str,
    /// A description, for accessibility.
    pub alt: &'r str,
}

/// A version of a product that can be bought.
#[derive(Debug, Serialize, ToSchema)]
pub struct Variant {
    /// The stock-keeping unit, as in the path of a cart's item.
    pub sku: String,
    pub title: String,
    /// Its options' values, for example `{"Size":"M"}`.
    #[schema(value_type = Object)]
    pub options: Box<RawValue>,
    #[schema(value_type = MoneySchema)]
    pub price: Money,
    /// A former price.
    #[schema(value_type = Option<MoneySchema>)]
    pub compare_at_price: Option<Money>,
    /// In stock.
    pub available: bool,
}

/// An image of a product with `include=images`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductImage {
    pub url: String,
    /// A description, for accessibility.
    pub alt: String,
}

/// The details that `include=` adds to a product. `None` when they weren't requested.
#[derive(Debug, Default)]
pub struct Details {
    /// With `include=variants`.
    pub variants: Option<Vec<Variant>>,
    /// With `include=images`.
    pub images: Option<Vec<ProductImage>>,
}

/// A product in a list. It borrows its strings from its row.
#[derive(Debug, ToSchema)]
#[schema(as = Product)]
pub struct ProductItem<'r> {
    pub id: Uuid,
    pub slug: &'r str,
    pub title: &'r str,
    pub brand: Named<'r>,
    pub category: Named<'r>,
    /// The lowest of its variants' prices.
    #[schema(value_type = MoneySchema)]
    pub price: Money,
    #[schema(value_type = Option<MoneySchema>)]
    pub compare_at_price: Option<Money>,
    pub in_stock: bool,
    pub rating: Rating,
    /// The first image.
    pub image: Option<Image<'r>>,
    #[schema(required = false)]
    pub variants: Option<&'r [Variant]>,
    #[schema(required = false)]
    pub images: Option<&'r [ProductImage]>,
    #[schema(ignore)]
    pub fields: Fields,
}

impl Serialize for ProductItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut item = serializer.serialize_map(None)?;
        let shown = self.fields;
        macro_rules! put {
            ($($name:ident),+) => {$(
                if shown.has(stringify!($name)) {
                    item.serialize_entry(stringify!($name), &self.$name)?;
                }
            )+};
        }
        put!(
            id,
            slug,
            title,
            brand,
            category,
            price,
            compare_at_price,
            in_stock,
            rating,
            image
        );
        if let Some(variants) = self.variants {
            item.serialize_entry("variants", variants)?;
        }
        if let Some(images) = self.images {
            item.serialize_entry("images", images)?;
        }
        item.end()
    }
}

/// The fields of a product in a list, as a bit set. Those that `include=` adds aren't in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields(u16);

impl Fields {
    /// The allowed values of the parameter `fields`.
    pub const NAMES: [&'static str; 10] = [
        "id",
        "slug",
        "title",
        "brand",
        "category",
        "price",
        "compare_at_price",
        "in_stock",
        "rating",
        "image",
    ];

    /// All fields.
    pub const ALL: Fields = Fields((1 << Self::NAMES.len()) - 1);

    /// The names, comma-separated.
    pub fn names(self) -> String {
        Self::NAMES
            .into_iter()
            .filter(|name| self.has(name))
            .collect::<Vec<_>>()
            .join(",")
    }

    #[inline]
    fn has(self, name: &str) -> bool {
        self == Self::ALL
            || Self::NAMES
                .iter()
                .position(|known| *known == name)
                .is_some_and(|bit| self.0 & (1 << bit) != 0)
    }
}

/// The fields with these names, or all if there are none.
impl FromIterator<&'static str> for Fields {
    fn from_iter<I: IntoIterator<Item = &'static str>>(names: I) -> Self {
        let bit = |name| Self::NAMES.iter().position(|known| *known == name);
        match names
            .into_iter()
            .filter_map(bit)
            .fold(0, |bits, bit| bits | 1 << bit)
        {
            0 => Self::ALL,
            bits => Self(bits),
        }
    }
}

/// The index of each column in a list's rows. The indexes differ between the arms of `projection`.
#[derive(Debug, Clone, Copy)]
pub struct ItemColumns {
    pub id: usize,
    pub slug: usize,
    pub title: usize,
    pub brand_id: usize,
    pub category_id: usize,
    pub price_cents: usize,
    pub compare_at_cents: usize,
    pub currency: usize,
    pub in_stock: usize,
    pub rating_hundredths: usize,
    pub review_count: usize,
    pub image_url: usize,
    pub image_alt: usize,
}

/// The keys for loading an item's details, brand and category.
#[derive(Debug, Clone, Copy)]
pub struct ItemKey {
    pub product: ProductKey,
    pub brand_id: Uuid,
    pub category_id: Uuid,
}

impl ItemColumns {
    /// Reads only the id.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn id(&self, row: &PgRow) -> Result<Uuid, sqlx::Error> {
        row.try_get(self.id)
    }

    /// Reads the keys for loading the rest.
    ///
    /// # Errors
    /// When a column has another type.
    pub fn key(&self, row: &PgRow) -> Result<ItemKey, sqlx::Error> {
        Ok(ItemKey {
            product: ProductKey {
                id: self.id(row)?,
                currency: currency(row.try_get(self.currency)?),
            },
            brand_id: row.try_get(self.brand_id)?,
            category_id: row.try_get(self.category_id)?,
        })
    }

    /// Reads a row as an item that borrows its strings.
    ///
    /// # Errors
    /// When a column has another type, or the snapshot lacks the brand or the category.
    pub fn read<'r>(
        &self,
        row: &'r PgRow,
        reference: &'r Snapshot,
        details: &'r Details,
        fields: Fields,
    ) -> Result<ProductItem<'r>, sqlx::Error> {
        let currency = currency(row.try_get(self.currency)?);
        let image_url: Option<&str> = row.try_get(self.image_url)?;
        let image_alt: Option<&str> = row.try_get(self.image_alt)?;
        Ok(ProductItem {
            id: row.try_get(self.id)?,
            slug: row.try_get(self.slug)?,
            title: row.try_get(self.title)?,
            brand: reference
                .named_brand(row.try_get(self.brand_id)?)
                .ok_or(sqlx::Error::RowNotFound)?,
            category: reference
                .named_category(row.try_get(self.category_id)?)
                .ok_or(sqlx::Error::RowNotFound)?,
            price: Money {
                amount: row.try_get(self.price_cents)?,
                currency,
            },
            compare_at_price: compare_at_price(row.try_get(self.compare_at_cents)?, currency),
            in_stock: row.try_get(self.in_stock)?,
            rating: rating(
                row.try_get(self.rating_hundredths)?,
                row.try_get(self.review_count)?,
            ),
            image: image_url.map(|url| Image {
                url,
                alt: image_alt.unwrap_or_default(),
            }),
            variants: details.variants.as_deref(),
            images: details.images.as_deref(),
            fields,
        })
    }
}

/// Parses a currency from its column. The fallback is never used, because a check constraint rejects invalid codes.
pub fn currency(code: &str) -> Currency {
    code.parse().unwrap_or(Currency::EUR)
}

/// A former price, if there is one.
pub fn compare_at_price(amount: Option<i64>, currency: Currency) -> Option<Money> {
    amount.map(|amount| Money { amount, currency })
}

/// A rating from its columns.
pub fn rating(hundredths: i16, count: i32) -> Rating {
    Rating {
        average: f64::from(hundredths) / 100.0,
        count,
    }
}
