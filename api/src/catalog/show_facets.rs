//! `GET /v1/products/facets`: counts of the matching products by brand, category, price band and availability. The
//! lesson `facets` decides how they are counted (`facets/`).

use std::sync::Arc;

use axum::extract::State;

use super::Catalog;
use super::cache::Class;
use super::facets::{FacetCounts, candidates};
use super::filters::ProductFilters;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::Query;
use crate::web::timings::{RequestTimings, Timings};

/// Counts the matching products by facet.
#[utoipa::path(
    get,
    path = "/v1/products/facets",
    tag = "Catalog",
    security(()),
    params(ProductFilters),
    responses(
        (status = 200, body = FacetCounts),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show_facets(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    Query(filters): Query<ProductFilters>,
) -> Result<Answer, ApiError> {
    let mut key = "/v1/products/facets?".to_owned();
    filters.write_canonical(&mut key);
    catalog
        .cache
        .answer(Class::Facets, &key, &timings, || {
            facets(&catalog, &timings, &filters)
        })
        .await
}

async fn facets(catalog: &Catalog, timings: &Timings, filters: &ProductFilters) -> Result<Answer, ApiError> {
    // Checked before counting: changes missed from here on also invalidate the cache.
    let is_stale = catalog.replicas.columns.is_stale();
    let facets = match &filters.q {
        Some(text) => count_matching(catalog, timings, filters, text).await?,
        None => catalog.facets.count(catalog, timings, filters, None).await?,
    };
    let body = serde_json::to_vec(&facets).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body).provisional(is_stale))
}

/// As in a list: if the words match nothing, similar words are tried.
async fn count_matching(
    catalog: &Catalog,
    timings: &Timings,
    filters: &ProductFilters,
    text: &str,
) -> Result<FacetCounts, ApiError> {
    let search = catalog.search;
    let mut facets = FacetCounts::default();
    for matching in (0..).map_while(|attempt| search.matching(text, attempt)) {
        let candidates = candidates::find(catalog, timings, filters, &matching).await?;
        if !candidates.ids.is_empty() {
            let ids = Some(candidates.ids.as_slice());
            facets = catalog.facets.count(catalog, timings, filters, ids).await?;
        }
        facets.approximate = candidates.are_cut;
        if facets.total > 0 || facets.approximate {
            break;
        }
    }
    Ok(facets)
}
