//! `GET /v1/products/{slug}`: one product, with the parts that `include` requests.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use shop::money::Money;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Catalog;
use super::cache::Class;
use super::list_reviews::{Review, newest_reviews};
use super::product::{
    Details, Image, MoneySchema, Named, ProductImage, Rating, Variant, compare_at_price, currency, rating,
};
use super::product_details::{Include, ProductKey};
use super::product_slug::{ProductSlug, unknown_product};
use crate::database::InstrumentedConnection;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::{Query, choices, query_parameters};
use crate::web::timings::{RequestTimings, Timings};

/// The most variants and images of a product: the bound of an import.
const MAX_DETAILS: u16 = 2_048;

/// Reviews in `include=reviews`; `/v1/products/{slug}/reviews` lists all of them.
const INCLUDED_REVIEWS: i64 = 10;

/// A product with its description.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductView<'r> {
    pub id: Uuid,
    pub slug: &'r str,
    pub title: &'r str,
    /// Sanitized HTML or plain text.
    pub description: &'r str,
    pub brand: Named<'r>,
    pub category: Named<'r>,
    /// The lowest of its variants' prices.
    #[schema(value_type = MoneySchema)]
    pub price: Money,
    #[schema(value_type = Option<MoneySchema>)]
    pub compare_at_price: Option<Money>,
    pub in_stock: bool,
    pub rating: Rating,
    /// The first image.
    pub image: Option<Image<'r>>,
    /// Names and values.
    #[schema(value_type = Object)]
    pub attributes: &'r RawValue,
    /// With `include=variants`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variants: Option<&'r [Variant]>,
    /// With `include=images`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<&'r [ProductImage]>,
    /// With `include=reviews`: the ten newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviews: Option<&'r [Review]>,
}

/// The words of `include`.
const PARTS: &[&str] = &["variants", "images", "reviews"];

query_parameters! {
    /// The parameters of a product.
    pub struct ProductQuery {
        /// Any of variants, images and reviews, comma-separated
        include: Vec<&'static str> = choices(PARTS),
    }
}

/// Shows a product.
#[utoipa::path(
    get,
    path = "/v1/products/{slug}",
    tag = "Catalog",
    security(()),
    params(
        ("slug" = String, Path, description = "The product's slug"),
        ProductQuery,
    ),
    responses(
        (status = 200, body = ProductView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show_product(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    ProductSlug(slug): ProductSlug,
    Query(ProductQuery { include: parts }): Query<ProductQuery>,
) -> Result<Answer, ApiError> {
    let mut key = format!("/v1/products/{slug}?include=");
    for part in PARTS {
        if parts.contains(part) {
            key.extend([part, ","]);
        }
    }
    catalog
        .cache
        .answer(Class::Products, &key, &timings, || {
            product(&catalog, &timings, &slug, &parts)
        })
        .await
}

async fn product(
    catalog: &Catalog,
    timings: &Timings,
    slug: &str,
    parts: &[&'static str],
) -> Result<Answer, ApiError> {
    let mut connection = catalog.database.acquire(timings).await?;
    let row = read(&mut connection, slug).await?.ok_or_else(unknown_product)?;
    let include: Include = parts.iter().copied().collect();
    let key = ProductKey {
        id: row.id,
        currency: currency(&row.currency),
    };
    let details = catalog
        .details
        .load(&mut connection, &[key], include, MAX_DETAILS)
        .await?;
    let reviews = match parts.contains(&"reviews") {
        true => Some(newest_reviews(&mut connection, row.id, None, INCLUDED_REVIEWS).await?),
        false => None,
    };
    drop(connection);
    let details = details.into_iter().next().unwrap_or_default();
    let body = serde_json::to_vec(&view(&row, &details, reviews.as_deref())).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body).showing(vec![row.id]))
}

struct ProductRow {
    id: Uuid,
    slug: String,
    title: String,
    description: String,
    brand_slug: String,
    brand_name: String,
    category_slug: String,
    category_name: String,
    price_cents: i64,
    compare_at_cents: Option<i64>,
    currency: String,
    in_stock: bool,
    rating_hundredths: i16,
    review_count: i32,
    image_url: Option<String>,
    image_alt: Option<String>,
    attributes: Json<Box<RawValue>>,
}

async fn read(
    connection: &mut InstrumentedConnection<'_>,
    slug: &str,
) -> Result<Option<ProductRow>, sqlx::Error> {
    let row = sqlx::query_as!(
        ProductRow,
        r#"select p.id, p.slug, p.title, p.description, b.slug as brand_slug, b.name as brand_name,
                  c.slug as category_slug, c.name as category_name, p.price_cents, p.compare_at_cents, p.currency,
                  p.in_stock, p.rating_hundredths, p.review_count, p.image_url, p.image_alt,
                  p.attributes as "attributes: _"
           from products p
           join brands b on b.id = p.brand_id
           join categories c on c.id = p.category_id
           where p.slug = $1 and p.active"#,
        slug
    );
    row.fetch_optional(connection).await
}

fn view<'r>(row: &'r ProductRow, details: &'r Details, reviews: Option<&'r [Review]>) -> ProductView<'r> {
    let currency = currency(&row.currency);
    ProductView {
        id: row.id,
        slug: &row.slug,
        title: &row.title,
        description: &row.description,
        brand: Named {
            slug: &row.brand_slug,
            name: &row.brand_name,
        },
        category: Named {
            slug: &row.category_slug,
            name: &row.category_name,
        },
        price: Money {
            amount: row.price_cents,
            currency,
        },
        compare_at_price: compare_at_price(row.compare_at_cents, currency),
        in_stock: row.in_stock,
        rating: rating(row.rating_hundredths, row.review_count),
        image: row.image_url.as_deref().map(|url| Image {
            url,
            alt: row.image_alt.as_deref().unwrap_or_default(),
        }),
        attributes: &row.attributes.0,
        variants: details.variants.as_deref(),
        images: details.images.as_deref(),
        reviews,
    }
}
