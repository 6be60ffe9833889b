//! **Technique**: numbered pages; the database reads and discards the rows before the page (`offset`).
//! **Cost**: grows with the page number, because every row before the page is read.
//! **Fails when**: clients request deep pages, as crawlers do. Also, a product that is added during pagination pushes
//! another one onto the next page, where a client gets that one again.
//! **Source**: <https://www.postgresql.org/docs/current/queries-limit.html>

use std::sync::Arc;

use axum::extract::State;

use super::{ListRequest, ProductPage, complete_page, fallback, first_page, reference, render};
use crate::catalog::Catalog;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::{Query, group, number_or, query_parameters};
use crate::web::timings::{RequestTimings, Timings};

/// The highest page number. No catalogue has so many pages.
const MAX_PAGE: i64 = 100_000_000;

query_parameters! {
    /// The parameters of a list of products, with numbered pages.
    pub struct OffsetQuery {
        list: ListRequest = group(),
        /// The page's number, from 1
        page: i64 = number_or(1, 1, MAX_PAGE),
    }
}

/// Lists products.
#[utoipa::path(
    get,
    path = "/v1/products",
    tag = "Catalog",
    security(()),
    params(OffsetQuery),
    responses(
        (status = 200, body = ProductPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn browse_products(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    Query(OffsetQuery { list, page: number }): Query<OffsetQuery>,
) -> Result<Answer, ApiError> {
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
    number: i64,
) -> Result<Answer, ApiError> {
    let skipped = ((number - 1) * list.limit).cast_unsigned();
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
