//! The catalogue: what anyone may browse. Each operation is a file, or a folder where a lesson is taught in it; the
//! folders `product_details`, `list_columns`, `search` and `cache` are components that operations share.

pub mod browse_products;
pub mod list_categories;
pub mod list_reviews;
pub mod post_review;
pub mod show_facets;
pub mod show_product;
pub mod suggest;

pub mod filters;
pub mod product;
pub mod product_slug;
pub mod sort;

pub mod cache;
pub mod changes;
pub mod list_columns;
pub mod product_details;
pub mod search;

use storefront::redis::Redis;
use storefront::variants::{Pagination, Variants};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::cache::CatalogCache;
use self::list_columns::ListColumns;
use self::product_details::ProductDetails;
use self::search::Search;
use crate::http::cursor::{self, CursorKeys};
use crate::http::layers;
use crate::settings::Settings;
use crate::state::AppState;

/// The catalogue's components, each built as its arm.
pub struct Catalog {
    /// Where finished answers are kept.
    pub cache: CatalogCache,
    /// How variants and images are loaded.
    pub details: ProductDetails,
    /// Which columns a list reads.
    pub columns: ListColumns,
    /// How products are found by words.
    pub search: Search,
    /// Signs where a page ended.
    pub cursors: CursorKeys,
}

impl Catalog {
    /// Builds each component as the arm that the variants name.
    pub fn new(variants: &Variants, redis: Redis, settings: &Settings) -> Self {
        Self {
            cache: CatalogCache::new(variants.catalog_cache, redis, settings.cache),
            details: ProductDetails::new(variants.listing),
            columns: ListColumns::new(variants.projection),
            search: Search::new(variants.search),
            cursors: CursorKeys::new(&settings.jwt_secrets),
        }
    }
}

/// The catalogue's routes. `pagination` is told apart here: an arm is a handler of its own.
pub fn router(variants: &Variants) -> OpenApiRouter<AppState> {
    let browse = match variants.pagination {
        #[cfg(feature = "baselines")]
        Pagination::Offset => OpenApiRouter::new().routes(routes!(browse_products::offset::browse_products)),
        Pagination::Cursor => OpenApiRouter::new().routes(routes!(browse_products::cursor::browse_products)),
    };
    OpenApiRouter::new()
        .merge(browse)
        .routes(routes!(list_categories::list_categories))
        .routes(routes!(show_facets::show_facets))
        .routes(routes!(show_product::show_product))
        .routes(routes!(list_reviews::list_reviews))
        .merge(layers::private(
            OpenApiRouter::new().routes(routes!(post_review::post_review)),
        ))
        .routes(routes!(suggest::suggest))
}
