//! The public catalogue. Each operation is a file, or a folder if it is a lesson's switch point. The folders
//! `product_details`, `list_columns`, `list_statement`, `search`, `facets` and `cache` are components that operations
//! share.

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
pub mod reference;
pub mod search_statistics;
pub mod sort;

pub mod cache;
pub mod changes;
pub mod facets;
pub mod list_columns;
pub mod list_statement;
pub mod product_details;
pub mod search;

pub mod columns;
pub mod replica;
pub mod replicas;

use std::sync::Arc;

use platform::redis::Redis;
use sqlx::postgres::PgConnectOptions;
use techniques::Selection;

use self::cache::CatalogCache;
use self::facets::Facets;
use self::list_columns::ListColumns;
use self::list_statement::ListStatement;
use self::product_details::ProductDetails;
use self::reference::Reference;
use self::replicas::Replicas;
use self::search::Search;
use self::search_statistics::SearchStatistics;
use crate::database::{ControlConnection, Database};
use crate::settings::{ReplicaSettings, Settings};
use crate::web::cursor::CursorKeys;

/// The catalogue's components, each built as its arm.
pub struct Catalog {
    pub database: Arc<Database>,
    /// Reads the change feed.
    pub control: Arc<ControlConnection>,
    /// Caches serialized responses.
    pub cache: CatalogCache,
    /// Loads variants and images.
    pub details: ProductDetails,
    /// Chooses the columns that a list reads.
    pub columns: ListColumns,
    /// Builds a list's statement.
    pub statement: ListStatement,
    /// Finds products by words.
    pub search: Search,
    /// Counts products.
    pub facets: Facets,
    /// Brands and categories, held in the process.
    pub reference: Reference,
    /// What Postgres knows of the words and keys that searches read.
    pub statistics: SearchStatistics,
    /// What else the process holds of the catalogue.
    pub replicas: Replicas,
    /// Bounds of the replicas and of counting.
    pub limits: ReplicaSettings,
    /// The most variants and images of a product in a list.
    pub max_list_details: u16,
    /// Sign the cursors of lists.
    pub cursors: CursorKeys,
}

impl Catalog {
    /// Builds each component as its arm. The replicas use `connect`, because they load over their own connections.
    pub fn new(
        selection: &Selection,
        (database, control): (Arc<Database>, Arc<ControlConnection>),
        redis: Redis,
        connect: PgConnectOptions,
        settings: &Settings,
    ) -> Self {
        let replicas = Replicas::new(connect, settings.replicas);
        let cursors = CursorKeys::new(&settings.jwt_secrets);
        Self {
            database,
            control,
            cache: CatalogCache::select(selection.catalog_cache, redis, settings.cache, &cursors),
            details: ProductDetails::select(selection.listing),
            columns: ListColumns::select(selection.projection),
            statement: ListStatement::select(selection.planner_estimates),
            search: Search::select(selection.search),
            facets: Facets::select(selection.facets, &replicas.columns),
            reference: Reference::default(),
            statistics: SearchStatistics::default(),
            replicas,
            limits: settings.replicas,
            max_list_details: settings.catalog.max_list_details,
            cursors,
        }
    }
}
