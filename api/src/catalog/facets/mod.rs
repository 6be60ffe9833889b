//! How the products that match divide, and how many each category has: the lesson `facets`. Facets and the category
//! tree share it.
//!
//! Both arms promise exact counts of what lists show. With words, both count the same bounded number of candidates,
//! see [`candidates`].

pub mod candidates;

pub mod columns;
#[cfg(feature = "baselines")]
pub mod scan;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use self::columns::ColumnCounts;
use super::columns::PRICE_BANDS;
use super::filters::ProductFilters;
use super::replicas::Replicas;
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

/// The arm of `facets` that this process was built with.
pub enum Facets {
    /// See [`scan`].
    #[cfg(feature = "baselines")]
    Scan,
    /// See [`columns`].
    Columns(ColumnCounts),
}

impl Facets {
    /// Builds the arm.
    pub fn new(arm: techniques::Facets, replicas: &Replicas) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            techniques::Facets::Scan => Self::Scan,
            techniques::Facets::Columns => Self::Columns(ColumnCounts::new(replicas.columns.clone())),
        }
    }

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
    ) -> Result<FacetCounts, ApiError> {
        match self {
            #[cfg(feature = "baselines")]
            Self::Scan => scan::count(catalog, timings, filters, candidates).await,
            Self::Columns(columns) => columns.count(catalog, timings, filters, candidates).await,
        }
    }

    /// All categories, by position and slug, with their counts.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub async fn by_category(
        &self,
        catalog: &Catalog,
        timings: &Timings,
    ) -> Result<Vec<CategoryCount>, ApiError> {
        match self {
            #[cfg(feature = "baselines")]
            Self::Scan => scan::by_category(catalog, timings).await,
            Self::Columns(columns) => columns.by_category(catalog, timings).await,
        }
    }
}
