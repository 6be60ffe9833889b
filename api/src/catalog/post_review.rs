//! `POST /v1/products/{slug}/reviews`: a customer's review of a product. Only customers who bought it can review it,
//! once.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Catalog;
use super::list_reviews::Review;
use super::product_slug::{ProductSlug, unknown_product};
use crate::database::InstrumentedConnection;
use crate::sessions::Customer;
use crate::web::answer::Answer;
use crate::web::body::{BoundedString, JsonBody};
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;
use crate::web::whole_number::WholeNumber;

/// The longest review, in characters: the bound of its column.
const MAX_REVIEW_CHARS: usize = 10_000;

/// A new review. The author's name is the account's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReview {
    /// Stars.
    #[schema(value_type = i16, minimum = 1, maximum = 5)]
    rating: WholeNumber<1, 5>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    title: Option<BoundedString<255>>,
    /// Plain text; line breaks are allowed.
    #[serde(deserialize_with = "plain_text")]
    #[schema(min_length = 1, max_length = 10000)]
    body: String,
}

/// Text of several lines, without other control characters. Postgres rejects NUL.
fn plain_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let given = String::deserialize(deserializer)?;
    let text = given.trim();
    let is_allowed = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if !text.chars().all(is_allowed) {
        return Err(serde::de::Error::custom(
            "holds a control character; send printable text",
        ));
    }
    match text.chars().count() {
        1..=MAX_REVIEW_CHARS => Ok(text.to_owned()),
        length => Err(serde::de::Error::custom(format!(
            "has {length} characters; 1 to {MAX_REVIEW_CHARS} are allowed"
        ))),
    }
}

/// Reviews a product that you bought.
#[utoipa::path(
    post,
    path = "/v1/products/{slug}/reviews",
    tag = "Catalog",
    params(("slug" = String, Path, description = "The product's slug")),
    request_body = NewReview,
    security(("bearer" = [])),
    responses(
        (status = 201, body = Review),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "`not_bought`"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "`already_reviewed`"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn post_review(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    customer: Customer,
    ProductSlug(slug): ProductSlug,
    _: NoParameters,
    JsonBody(review): JsonBody<NewReview>,
) -> Result<Response, ApiError> {
    let mut connection = catalog.database.acquire(&timings).await?;
    let review = insert_review(&mut connection, &slug, &customer, review).await?;
    drop(connection);

    let body = serde_json::to_vec(&review).map_err(ApiError::internal)?;
    Ok((StatusCode::CREATED, Answer::new(None, &body)).into_response())
}

struct ReviewOutcome {
    author: Option<String>,
    bought: bool,
    created_at: Option<OffsetDateTime>,
}

/// Inserts the review if the customer bought the product, in one statement. The unique constraint makes it idempotent
/// under concurrency: the second of two concurrent reviews inserts nothing.
async fn insert_review(
    connection: &mut InstrumentedConnection<'_>,
    slug: &str,
    customer: &Customer,
    review: NewReview,
) -> Result<Review, ApiError> {
    let id = Uuid::now_v7();
    let rating = review.rating.get() as i16;
    let title = review.title.map(BoundedString::into_string).unwrap_or_default();
    let outcome = sqlx::query_as!(
        ReviewOutcome,
        r#"with product as (
               select id,
                      exists (
                          select from order_lines l
                          join orders o on o.id = l.order_id
                          where o.customer_id = $2 and l.product_id = products.id
                            and o.status in ('paid', 'fulfilled', 'delivered')
                      ) as bought
               from products
               where slug = $1 and active
           ), author as (
               select id, name from customers where id = $2
           ), review as (
               insert into reviews (id, product_id, customer_id, rating, author_name, title, body)
               select $3, product.id, author.id, $4, author.name, $5, $6
               from product, author
               where product.bought
               on conflict on constraint reviews_customer_id_product_id_key do nothing
               returning created_at
           )
           select author.name as "author?", product.bought as "bought!", review.created_at as "created_at?"
           from product
           left join author on true
           left join review on true"#,
        slug,
        customer.id,
        id,
        rating,
        title,
        review.body
    )
    .fetch_optional(connection)
    .await?
    .ok_or_else(unknown_product)?;
    // An access token can outlive its account.
    let author = outcome.author.ok_or(ApiError::Unauthenticated)?;
    if !outcome.bought {
        return Err(ApiError::NotBought);
    }
    let created_at = outcome.created_at.ok_or_else(|| ApiError::Conflict {
        code: "already_reviewed",
        detail: "you have already reviewed this product".to_owned(),
    })?;
    Ok(Review {
        id,
        rating,
        title,
        body: review.body,
        author,
        created_at,
    })
}
