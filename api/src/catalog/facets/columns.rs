//! **Technique**: the five values that counts need of a product are held in the process, in columns, and counted in one
//! pass. Counts of all products are kept with every change, and cost no pass.
//! **Cost**: some 40 bytes of memory a product in every process, a read of the whole catalogue at each start, and of the
//! products that changed. A count looks at every product and takes no statement.
//! **Fails when**: a process has just started: facets wait until the columns are loaded, others don't. What is counted is
//! up to a second old.
//! **Source**: <https://www.vldb.org/pvldb/vol11/p2209-kersten.pdf>, on why a pass over columns is fast.

use std::cmp::Reverse;
use std::sync::Arc;

use uuid::Uuid;

use super::{Availability, CategoryCount, FacetCounts, MAX_NAMED, NamedCount, PriceBand};
use crate::catalog::Catalog;
use crate::catalog::columns::{Counts, ProductColumns, RowFilter};
use crate::catalog::filters::ProductFilters;
use crate::catalog::product::Named;
use crate::catalog::reference::Snapshot;
use crate::catalog::replica::Replica;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The arm `facets=columns`.
pub struct ColumnCounts(Arc<Replica<ProductColumns>>);

impl ColumnCounts {
    /// Counts in these columns.
    pub fn new(columns: &Arc<Replica<ProductColumns>>) -> Self {
        Self(Arc::clone(columns))
    }

    /// Counts the products that match, or those of `candidates`.
    ///
    /// # Errors
    /// When Postgres doesn't respond, or the columns are not loaded in time.
    pub async fn count(
        &self,
        catalog: &Catalog,
        timings: &Timings,
        filters: &ProductFilters,
        candidates: Option<&[Uuid]>,
    ) -> Result<FacetCounts, ApiError> {
        let reference = reference_with_slugs(catalog, timings, filters).await?;
        let Some(filter) = row_filter(filters, &reference) else {
            return Ok(FacetCounts::default());
        };
        let columns = self.0.get().await?;
        let counts = match candidates {
            Some(ids) => columns.count_ids(ids, &filter),
            None => columns.count(filter).await,
        };
        let reference = reference_with_names(catalog, timings, reference, &counts).await?;
        Ok(facets(&counts, &reference))
    }

    /// Loads the columns in the background.
    pub fn start_loading(&self) {
        self.0.start_loading();
    }

    /// All categories, by position and slug, with their counts.
    ///
    /// # Errors
    /// As `count`.
    pub async fn by_category(
        &self,
        catalog: &Catalog,
        timings: &Timings,
    ) -> Result<Vec<CategoryCount>, ApiError> {
        let columns = self.0.get().await?;
        let counts = Counts {
            categories: columns.by_category(),
            ..Counts::default()
        };
        let reference = catalog.reference.snapshot();
        let reference = reference_with_names(catalog, timings, reference, &counts).await?;
        let counts: std::collections::HashMap<Uuid, u32> = counts.categories.into_iter().collect();
        let mut categories: Vec<_> = reference.categories().collect();
        categories.sort_unstable_by(|a, b| (a.position, &a.slug).cmp(&(b.position, &b.slug)));
        let counted = categories.into_iter().map(|category| CategoryCount {
            id: category.id,
            parent_id: category.parent_id,
            slug: category.slug.to_string(),
            name: category.name.to_string(),
            product_count: i64::from(counts.get(&category.id).copied().unwrap_or_default()),
        });
        Ok(counted.collect())
    }
}

/// Brands and categories, the filters' among them. Postgres is asked for those only that the process doesn't know.
async fn reference_with_slugs(
    catalog: &Catalog,
    timings: &Timings,
    filters: &ProductFilters,
) -> Result<Arc<Snapshot>, ApiError> {
    let (brand, category) = (filters.brand.as_deref(), filters.category.as_deref());
    let reference = &catalog.reference;
    let snapshot = reference.snapshot();
    let knows_brand = brand.is_none_or(|slug| snapshot.brand_by_slug(slug).is_some());
    let knows_category = category.is_none_or(|slug| snapshot.category_by_slug(slug).is_some());
    if knows_brand && knows_category {
        return Ok(snapshot);
    }
    let mut connection = catalog.database.acquire(timings).await?;
    Ok(reference.with_slugs(&mut connection, brand, category).await?)
}

/// Brands and categories, those that were counted among them.
async fn reference_with_names(
    catalog: &Catalog,
    timings: &Timings,
    snapshot: Arc<Snapshot>,
    counts: &Counts,
) -> Result<Arc<Snapshot>, ApiError> {
    let knows_brands = counts.brands.iter().all(|(id, _)| snapshot.brand(*id).is_some());
    let knows_categories = counts
        .categories
        .iter()
        .all(|(id, _)| snapshot.category(*id).is_some());
    let is_empty = snapshot.categories().next().is_none();
    if knows_brands && knows_categories && !is_empty {
        return Ok(snapshot);
    }
    let mut connection = catalog.database.acquire(timings).await?;
    Ok(catalog.reference.load(&mut connection).await?)
}

/// The filters with ids in place of slugs. `None` when no product can pass: there is no such brand or category.
fn row_filter(filters: &ProductFilters, reference: &Snapshot) -> Option<RowFilter> {
    let brand = match &filters.brand {
        Some(slug) => Some(reference.brand_by_slug(slug)?.id),
        None => None,
    };
    let categories = match &filters.category {
        Some(slug) => Some(reference.category_by_slug(slug)?.subtree.to_vec()),
        None => None,
    };
    Some(RowFilter {
        brand,
        categories,
        min_price: filters.min_price,
        max_price: filters.max_price,
        in_stock: filters.in_stock,
    })
}

fn facets(counts: &Counts, reference: &Snapshot) -> FacetCounts {
    let (in_stock, out_of_stock) = (i64::from(counts.in_stock), i64::from(counts.out_of_stock));
    let bands = counts.bands.iter().enumerate().filter(|(_, count)| **count > 0);
    FacetCounts {
        total: in_stock + out_of_stock,
        approximate: false,
        brands: most(&counts.brands, |id| reference.named_brand(id)),
        categories: most(&counts.categories, |id| reference.named_category(id)),
        price_bands: bands
            .map(|(index, count)| PriceBand::at(index, i64::from(*count)))
            .collect(),
        availability: Availability {
            in_stock,
            out_of_stock,
        },
    }
}

/// Those with the most, by count and then by slug. Only those are named that can be among them.
fn most<'r>(counts: &[(Uuid, u32)], named: impl Fn(Uuid) -> Option<Named<'r>>) -> Vec<NamedCount> {
    let mut counts = counts.to_vec();
    if counts.len() > MAX_NAMED {
        let (_, last, _) = counts.select_nth_unstable_by_key(MAX_NAMED - 1, |(_, count)| Reverse(*count));
        let fewest = last.1;
        counts.retain(|(_, count)| *count >= fewest);
    }
    let mut most: Vec<(u32, Named<'r>)> = counts
        .into_iter()
        .filter_map(|(id, count)| Some((count, named(id)?)))
        .collect();
    most.sort_unstable_by_key(|(count, named)| (Reverse(*count), named.slug));
    most.truncate(MAX_NAMED);
    let named_count = |(count, named): (u32, Named<'r>)| NamedCount {
        slug: named.slug.to_owned(),
        name: named.name.to_owned(),
        count: i64::from(count),
    };
    most.into_iter().map(named_count).collect()
}
