//! **Technique**: keyset pagination, also called the seek method: a page starts after the previous page's last sort key
//! and id, which a signed cursor carries.
//! **Cost**: one index descent and the page's rows, at any depth.
//! **Fails when**: a client needs page 5 000 without the pages before it, or sort keys change during pagination: a
//! product whose key moves past the cursor is returned twice or not at all.
//! **Source**: <https://use-the-index-luke.com/no-offset>

use std::sync::Arc;

use axum::extract::State;

use super::{ListRequest, ProductPage, complete_page, fallback, first_page, reference, render};
use crate::catalog::Catalog;
use crate::catalog::list_statement::Bounds;
use crate::web::answer::Answer;
use crate::web::cursor::Cursor;
use crate::web::error::{ApiError, Problem};
use crate::web::query::{Query, cursor, group, query_parameters};
use crate::web::timings::{RequestTimings, Timings};

query_parameters! {
    /// The parameters of a list of products, with keyset pagination.
    pub struct CursorQuery {
        list: ListRequest = group(),
        /// The cursor from `next`
        after: Option<String> = cursor(),
    }
}

/// Lists products.
#[utoipa::path(
    get,
    path = "/v1/products",
    tag = "Catalog",
    security(()),
    params(CursorQuery),
    responses(
        (status = 200, body = ProductPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn browse_products(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    Query(CursorQuery { list, after }): Query<CursorQuery>,
) -> Result<Answer, ApiError> {
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
            let key = list.sort().key_of(last)?;
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
