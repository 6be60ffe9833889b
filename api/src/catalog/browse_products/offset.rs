//! **Technique**: numbered pages; the database reads and discards the rows before the page (`offset`).
//! **Cost**: grows with the page number, because every row before the page is read.
//! **Fails when**: clients request deep pages, as crawlers do. A product that is added during pagination also pushes
//! another one onto the next page, so it is returned twice.
//! **Source**: <https://www.postgresql.org/docs/current/queries-limit.html>

use std::sync::Arc;

use axum::extract::{RawQuery, State};

use super::{ListRequest, ProductPage, complete_page, fallback, first_page, reference, render};
use crate::catalog::Catalog;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::Parameters;
use crate::web::timings::{RequestTimings, Timings};

/// The highest page number, deeper than any catalogue.
const MAX_PAGE: u64 = 100_000_000;

/// Lists products.
#[utoipa::path(
    get,
    path = "/v1/products",
    tag = "Catalog",
    security(()),
    params(
        ("category" = Option<String>, Query, description = "Slug of a category; its descendants are included"),
        ("brand" = Option<String>, Query, description = "Slug of a brand"),
        ("q" = Option<String>, Query, description = "Words to search for, at most 200 characters; the last word also matches as a prefix, from three letters on"),
        ("min_price" = Option<i64>, Query, description = "Lowest price, in minor units"),
        ("max_price" = Option<i64>, Query, description = "Highest price, in minor units"),
        ("in_stock" = Option<bool>, Query, description = "Only products in stock, or only products out of stock"),
        ("sort" = Option<String>, Query, description = "relevance (default with `q`: products with the words in their title first, the best-selling among them), newest (default without), price_asc, price_desc, best_selling, rating"),
        ("limit" = Option<u32>, Query, description = "Items of a page, 1 to 100", minimum = 1, maximum = 100),
        ("include" = Option<String>, Query, description = "variants, images, or both, comma-separated; at most 100 of each per product (BACKSTOCK_MAX_LIST_DETAILS), `/v1/products/{slug}` has all"),
        ("fields" = Option<String>, Query, description = "Only these fields of each product, comma-separated"),
        ("page" = Option<u64>, Query, description = "The page's number, from 1", minimum = 1),
    ),
    responses(
        (status = 200, body = ProductPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn browse_products(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    RawQuery(query): RawQuery,
) -> Result<Answer, ApiError> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let list = ListRequest::take(&mut parameters)?;
    let number = parameters.take_number("page", 1, MAX_PAGE)?.unwrap_or(1);
    parameters.finish()?;

    let name = list.with_shape(list.list_name());
    let key = format!("{name}&page={number}");
    let page = || page(&catalog, &timings, &list, &name, number);
    catalog.cache.answer(list.class(), &key, &timings, page).await
}

async fn page(
    catalog: &Catalog,
    timings: &Timings,
    list: &ListRequest,
    name: &str,
    number: u64,
) -> Result<Answer, ApiError> {
    let skipped = (number - 1) * u64::from(list.limit);
    let mut connection = catalog.database.acquire(timings).await?;
    let reference = reference(catalog, &mut connection, list).await?;
    let mut query = first_page(catalog, list);
    let statement = catalog.statement;
    let mut rows = statement
        .read_skipping(&mut connection, &reference, query, skipped)
        .await?;
    if rows.is_empty()
        && let Some(next) = fallback(catalog, query)
    {
        // An empty page doesn't imply an empty list: the request may be past its end.
        let first = match skipped {
            0 => Vec::new(),
            _ => {
                statement
                    .read_skipping(&mut connection, &reference, query, 0)
                    .await?
            }
        };
        if first.is_empty() {
            query = next;
            rows = statement
                .read_skipping(&mut connection, &reference, query, skipped)
                .await?;
        }
    }
    let page = complete_page(catalog, &mut connection, list, reference, (rows, query.matching)).await?;
    drop(connection);

    let next = page.more.then(|| format!("{name}&page={}", number + 1));
    Ok(Answer::new(next.as_deref(), &render(&page, list.fields, next.as_deref())?).showing(page.products))
}
