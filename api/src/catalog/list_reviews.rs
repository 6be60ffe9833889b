//! `GET /v1/products/{slug}/reviews`: a product's reviews, the newest first, with keyset pagination.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Catalog;
use super::cache::Class;
use super::product_slug::{ProductSlug, unknown_product};
use crate::database::InstrumentedConnection;
use crate::web::answer::Answer;
use crate::web::cursor::Cursor;
use crate::web::error::{ApiError, Problem};
use crate::web::page::PageQuery;
use crate::web::query::Query;
use crate::web::timings::{RequestTimings, Timings};

/// A customer's review.
#[derive(Debug, Serialize, ToSchema)]
pub struct Review {
    pub id: Uuid,
    /// Stars, 1 to 5.
    pub rating: i16,
    pub title: String,
    pub body: String,
    /// The customer's name.
    pub author: String,
    /// RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
}

fn rfc3339<S: serde::Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.format(&Rfc3339).map_err(serde::ser::Error::custom)?)
}

/// A page of reviews.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewPage<'r> {
    /// The newest first.
    pub items: &'r [Review],
    /// The next page's address, to be followed unchanged; null on the last page. Also in `Link`.
    pub next: Option<&'r str>,
}

/// Lists a product's reviews.
#[utoipa::path(
    get,
    path = "/v1/products/{slug}/reviews",
    tag = "Catalog",
    security(()),
    params(
        ("slug" = String, Path, description = "The product's slug"),
        PageQuery,
    ),
    responses(
        (status = 200, body = ReviewPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_reviews(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    ProductSlug(slug): ProductSlug,
    Query(page): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let encoded: String = form_urlencoded::byte_serialize(slug.as_bytes()).collect();
    let name = format!("/v1/products/{encoded}/reviews");
    let cursor = page.cursor(&catalog.cursors, &name)?;
    let key = format!(
        "{name}?limit={}&after={}",
        page.limit,
        page.after.as_deref().unwrap_or_default()
    );
    let limit = page.limit;
    catalog
        .cache
        .answer(Class::Reviews, &key, &timings, || {
            read_page(&catalog, &timings, &slug, &name, cursor, limit)
        })
        .await
}

async fn read_page(
    catalog: &Catalog,
    timings: &Timings,
    slug: &str,
    name: &str,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<Answer, ApiError> {
    let mut connection = catalog.database.acquire(timings).await?;
    let product = sqlx::query_scalar!("select id from products where slug = $1 and active", slug);
    let product = product
        .fetch_optional(&mut connection)
        .await?
        .ok_or_else(unknown_product)?;
    let mut reviews = newest_reviews(&mut connection, product, cursor, limit + 1).await?;
    drop(connection);

    let more = reviews.len() as i64 > limit;
    reviews.truncate(limit as usize);
    let next = reviews.last().filter(|_| more).map(|last| {
        let key = (last.created_at.unix_timestamp_nanos() / 1000) as i64;
        let after = catalog.cursors.encode(
            name,
            &Cursor {
                matching: 0,
                key,
                id: last.id,
            },
        );
        format!("{name}?limit={limit}&after={after}")
    });
    let body = serde_json::to_vec(&ReviewPage {
        items: &reviews,
        next: next.as_deref(),
    })
    .map_err(ApiError::internal)?;
    Ok(Answer::new(next.as_deref(), &body).showing(vec![product]))
}

/// A product's reviews after a cursor, the newest first.
///
/// # Errors
/// When the statement fails.
pub(super) async fn newest_reviews(
    connection: &mut InstrumentedConnection<'_>,
    product: Uuid,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Review>, sqlx::Error> {
    // The first page starts after a key that is later than any review's.
    let (before, id) = match after {
        None => (time::macros::datetime!(9999-12-31 23:59:59 UTC), Uuid::max()),
        Some(cursor) => {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(cursor.key) * 1000);
            (at.unwrap_or(OffsetDateTime::UNIX_EPOCH), cursor.id)
        }
    };
    let rows = sqlx::query_as!(
        Review,
        "select id, rating, title, body, author_name as author, created_at
         from reviews
         where product_id = $1 and (created_at, id) < ($2, $3)
         order by created_at desc, id desc
         limit $4",
        product,
        before,
        id,
        limit
    );
    rows.fetch_all(connection).await
}
