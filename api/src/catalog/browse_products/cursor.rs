//! **Technique**: keyset pagination, also called the seek method: a page starts after the previous page's last sort key
//! and id, which a signed cursor carries.
//! **Cost**: one index descent and the page's rows, at any depth.
//! **Fails when**: a client needs page 5 000 without the pages before it, or sort keys change during pagination: a
//! product whose key moves past the cursor is returned twice or not at all.
//! **Source**: <https://use-the-index-luke.com/no-offset>

use std::sync::Arc;

use axum::extract::{RawQuery, State};

use super::{ListRequest, ProductPage, complete_page, fallback, first_page, reference, render};
use crate::catalog::Catalog;
use crate::catalog::list_statement::Bounds;
use crate::web::answer::Answer;
use crate::web::cursor::Cursor;
use crate::web::error::{ApiError, Problem};
use crate::web::query::Parameters;
use crate::web::timings::{RequestTimings, Timings};

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
        ("after" = Option<String>, Query, description = "The cursor from `next`"),
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
    let after = parameters.take("after");
    parameters.finish()?;

    let name = list.list_name();
    let cursor = after
        .as_deref()
        .map(|text| catalog.cursors.decode(&name, text))
        .transpose()?;
    let mut key = list.with_shape(name.clone());
    if let Some(after) = &after {
        key.extend(["&after=", after]);
    }
    let page = || page(&catalog, &timings, &list, &name, cursor);
    catalog.cache.answer(list.class(), &key, &timings, page).await
}

async fn page(
    catalog: &Catalog,
    timings: &Timings,
    list: &ListRequest,
    name: &str,
    cursor: Option<Cursor>,
) -> Result<Answer, ApiError> {
    let mut connection = catalog.database.acquire(timings).await?;
    let reference = reference(catalog, &mut connection, list).await?;
    let mut query = first_page(catalog, list);
    if let Some(Cursor { matching, key, id }) = cursor {
        query.matching = matching;
        query.bounds = Bounds::After { key, id };
    }
    let (statement, statistics) = (catalog.statement, &catalog.statistics);
    let mut rows = statement
        .read(&mut connection, &reference, statistics, query)
        .await?;
    // An empty page behind a cursor doesn't imply an empty list.
    if rows.is_empty()
        && cursor.is_none()
        && let Some(next) = fallback(catalog, query)
    {
        query = next;
        rows = statement
            .read(&mut connection, &reference, statistics, query)
            .await?;
    }
    let page = complete_page(catalog, &mut connection, list, reference, (rows, query.matching)).await?;
    drop(connection);

    let next = match page.last_if_more() {
        None => None,
        Some((last, columns)) => {
            let key = list.sort.key_of(last)?;
            let id = columns.id(last)?;
            let after = catalog.cursors.encode(
                name,
                &Cursor {
                    matching: page.matching,
                    key,
                    id,
                },
            );
            Some(list.with_shape(name.to_owned()) + "&after=" + &after)
        }
    };
    Ok(Answer::new(next.as_deref(), &render(&page, list.fields, next.as_deref())?).showing(page.products))
}
