//! `GET /v1/products/facets`: counts of the matching products by brand, category, price band and availability. The
//! lesson `facets` decides how they are counted (`facets/`).

use axum::extract::{RawQuery, State};

use super::cache::Class;
use super::facets::{FacetCounts, candidates};
use super::filters::ProductFilters;
use crate::http::answer::Answer;
use crate::http::error::{ApiError, Problem};
use crate::http::query::Parameters;
use crate::http::timings::{RequestTimings, Timings};
use crate::state::{App, AppState};

/// Counts the matching products by facet.
#[utoipa::path(
    get,
    path = "/v1/products/facets",
    tag = "Catalog",
    security(()),
    params(
        ("category" = Option<String>, Query, description = "Slug of a category; its descendants are included"),
        ("brand" = Option<String>, Query, description = "Slug of a brand"),
        ("q" = Option<String>, Query, description = "Words to search for, at most 200 characters"),
        ("min_price" = Option<i64>, Query, description = "Lowest price, in minor units"),
        ("max_price" = Option<i64>, Query, description = "Highest price, in minor units"),
        ("in_stock" = Option<bool>, Query, description = "Only products in stock, or only products out of stock"),
    ),
    responses(
        (status = 200, body = FacetCounts),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show_facets(
    State(app): State<AppState>,
    timings: RequestTimings,
    RawQuery(query): RawQuery,
) -> Result<Answer, ApiError> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let filters = ProductFilters::take(&mut parameters)?;
    parameters.finish()?;
    let mut key = "/v1/products/facets?".to_owned();
    filters.write_canonical(&mut key);
    app.catalog
        .cache
        .answer(Class::Facets, &key, &timings, || facets(&app, &timings, &filters))
        .await
}

async fn facets(app: &App, timings: &Timings, filters: &ProductFilters) -> Result<Answer, ApiError> {
    // Checked before counting: changes missed from here on also invalidate the cache.
    let is_stale = app.catalog.replicas.columns.is_stale();
    let facets = match &filters.q {
        Some(text) => count_matching(app, timings, filters, text).await?,
        None => app.catalog.facets.count(app, timings, filters, None).await?,
    };
    let body = serde_json::to_vec(&facets).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body).provisional(is_stale))
}

/// As in a list: if the words match nothing, similar words are tried.
async fn count_matching(
    app: &App,
    timings: &Timings,
    filters: &ProductFilters,
    text: &str,
) -> Result<FacetCounts, ApiError> {
    let search = app.catalog.search;
    let mut facets = FacetCounts::default();
    for matching in [Some(search.matching(text)), search.second_matching(text)] {
        let Some(matching) = matching else { break };
        let candidates = candidates::find(app, timings, filters, &matching).await?;
        if !candidates.ids.is_empty() {
            let ids = Some(candidates.ids.as_slice());
            facets = app.catalog.facets.count(app, timings, filters, ids).await?;
        }
        facets.approximate = candidates.are_cut;
        if facets.total > 0 || facets.approximate {
            break;
        }
    }
    Ok(facets)
}
