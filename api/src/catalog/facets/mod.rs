//! How the products that match divide, and how many each category has: the lesson `facets`. Facets and the category
//! tree share it.
//!
//! Both arms promise exact counts of what lists show. With words, facets count a bounded number of candidates, see
//! [`candidates`].

pub mod candidates;

pub mod columns;
#[cfg(feature = "baselines")]
pub mod scan;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::columns::{PRICE_BANDS, ProductColumns};
use super::filters::ProductFilters;
use super::replica::Replica;
use crate::catalog::Catalog;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The most brands and categories that are named, those with the most products first.
pub const MAX_NAMED: usize = 50;

/// How many products have a slug.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedCount {
    /// What the filter takes.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Products.
    pub count: i64,
}

/// How many products have a price from `from` to below `to`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceBand {
    /// Lowest price, in minor units.
    pub from: i64,
    /// The next band's lowest price; null for the last band.
    pub to: Option<i64>,
    /// Products.
    pub count: i64,
}

impl PriceBand {
    /// The band at an index of [`PRICE_BANDS`].
    fn at(index: usize, count: i64) -> Self {
        Self {
            from: PRICE_BANDS.get(index).copied().unwrap_or_default(),
            to: PRICE_BANDS.get(index + 1).copied(),
            count,
        }
    }
}

/// How many products are in stock, and how many are not.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Availability {
    /// Products with a variant in stock.
    pub in_stock: i64,
    /// Products without.
    pub out_of_stock: i64,
}

/// The products that match, divided.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct FacetCounts {
    /// All that match.
    pub total: i64,
    /// `true` if too many products have the words to count them all: then at most `BACKSTOCK_FACET_CANDIDATES` of them were
    /// looked at, and those that pass the other filters are counted. Absent if the counts are exact.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub approximate: bool,
    /// The brands with the most, at most 50.
    pub brands: Vec<NamedCount>,
    /// The categories with the most, at most 50; each product counts in its own category only.
    pub categories: Vec<NamedCount>,
    /// Bands without products are left out.
    pub price_bands: Vec<PriceBand>,
    /// In stock or not.
    pub availability: Availability,
}

/// A category, and how many products are shown in it, without those below it.
#[derive(Debug)]
pub struct CategoryCount {
    /// The category, by id.
    pub id: Uuid,
    /// The category above it.
    pub parent_id: Option<Uuid>,
    /// What `category=` takes.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Products.
    pub product_count: i64,
}

techniques::component! {
    /// Counts products.
    pub Facets: techniques::Facets {
        baseline Scan = scan::Scan,
        optimized Columns = columns::ColumnCounts,
    }
    pub select(columns: &Arc<Replica<ProductColumns>>);

    /// Divides the products that match. With `candidates`, only these are looked at, and the words of the filters are
    /// not.
    ///
    /// # Errors
    /// When Postgres gives no answer, or columns that are still being loaded take too long.
    pub async fn count(
        &self,
        catalog: &Catalog,
        timings: &Timings,
        filters: &ProductFilters,
        candidates: Option<&[Uuid]>,
    ) -> Result<FacetCounts, ApiError>;

    /// Loads in the background what counting needs.
    pub fn start_loading(&self);

    /// All categories, by position and slug, with their counts.
    ///
    /// # Errors
    /// As `count`.
    pub async fn by_category(&self, catalog: &Catalog, timings: &Timings) -> Result<Vec<CategoryCount>, ApiError>;
}
