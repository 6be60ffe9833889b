//! `GET /v1/products/facets`: how the products that match divide into brands, categories, price bands and availability.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use sqlx::{Postgres, QueryBuilder, Row};
use utoipa::ToSchema;

use super::cache::Class;
use super::filters::{ProductFilters, push_subtree};
use super::search::Matching;
use crate::database::Session;
use crate::http::answer::Answer;
use crate::http::error::{ApiError, Problem};
use crate::http::query::Parameters;
use crate::http::timings::{RequestTimings, Timings};
use crate::state::{App, AppState};

/// The most brands and categories that are named, those with the most products first.
const MAX_NAMED: usize = 50;

/// Lower bounds of the price bands, in minor units.
const PRICE_BANDS: [i64; 7] = [0, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000];

/// How many products have a slug.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedCount {
    /// What the filter takes.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Products.
    pub count: i64,
}

/// How many products have a price from `from` to below `to`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceBand {
    /// Lowest price, in minor units.
    pub from: i64,
    /// The next band's lowest price; null for the last band.
    pub to: Option<i64>,
    /// Products.
    pub count: i64,
}

/// How many products are in stock, and how many are not.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Availability {
    /// Products with a variant in stock.
    pub in_stock: i64,
    /// Products without.
    pub out_of_stock: i64,
}

/// The products that match, divided.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Facets {
    /// All that match.
    pub total: i64,
    /// The brands with the most, at most 50.
    pub brands: Vec<NamedCount>,
    /// The categories with the most, at most 50; each product counts in its own category only.
    pub categories: Vec<NamedCount>,
    /// Bands without products are left out.
    pub price_bands: Vec<PriceBand>,
    /// In stock or not.
    pub availability: Availability,
}

/// How the products that match divide.
#[utoipa::path(
    get,
    path = "/v1/products/facets",
    tag = "Catalog",
    security(()),
    params(
        ("category" = Option<String>, Query, description = "Slug of a category; those below it count as well"),
        ("brand" = Option<String>, Query, description = "Slug of a brand"),
        ("q" = Option<String>, Query, description = "Words to be found, at most 200 characters"),
        ("min_price" = Option<i64>, Query, description = "Lowest price, in minor units"),
        ("max_price" = Option<i64>, Query, description = "Highest price, in minor units"),
        ("in_stock" = Option<bool>, Query, description = "Only what is in stock, or only what isn't"),
    ),
    responses(
        (status = 200, body = Facets),
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
    let search = app.catalog.search;
    let mut session = app.database.session(timings).await?;
    let matching = filters.q.as_deref().map(|text| search.matching(text));
    let mut facets = count(&mut session, filters, matching.as_ref()).await?;
    if facets.total == 0
        && let Some(second) = filters.q.as_deref().and_then(|text| search.second_matching(text))
    {
        facets = count(&mut session, filters, Some(&second)).await?;
    }
    drop(session);
    Ok(Answer::new(
        None,
        &serde_json::to_vec(&facets).map_err(ApiError::internal)?,
    ))
}

async fn count(
    session: &mut Session<'_>,
    filters: &ProductFilters,
    matching: Option<&Matching>,
) -> Result<Facets, sqlx::Error> {
    let mut sql = compose(filters, matching);
    let mut facets = Facets::default();
    for row in sql.build().fetch_all(session).await? {
        let products: i64 = row.try_get("products")?;
        let named = || -> Result<NamedCount, sqlx::Error> {
            Ok(NamedCount {
                slug: row.try_get("slug")?,
                name: row.try_get("name")?,
                count: products,
            })
        };
        match row.try_get("facet")? {
            "brand" => facets.brands.push(named()?),
            "category" => facets.categories.push(named()?),
            "price" => facets
                .price_bands
                .push(price_band(row.try_get("band")?, products)),
            _ if row.try_get("in_stock")? => facets.availability.in_stock = products,
            _ => facets.availability.out_of_stock = products,
        }
    }
    facets.total = facets.availability.in_stock + facets.availability.out_of_stock;
    facets.brands.truncate(MAX_NAMED);
    facets.categories.truncate(MAX_NAMED);
    Ok(facets)
}

/// Bands are numbered from 1, as `width_bucket` does.
fn price_band(number: i32, count: i64) -> PriceBand {
    let at = usize::try_from(number - 1).unwrap_or_default();
    PriceBand {
        from: PRICE_BANDS.get(at).copied().unwrap_or_default(),
        to: PRICE_BANDS.get(at + 1).copied(),
        count,
    }
}

/// All four divisions in one pass over the products that match.
fn compose(filters: &ProductFilters, matching: Option<&Matching>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("");
    match &filters.category {
        Some(category) => {
            push_subtree(&mut sql, category);
            sql.push(", ");
        }
        None => {
            sql.push("with ");
        }
    }
    sql.push("counted as (select p.brand_id, p.category_id, width_bucket(p.price_cents, ")
        .push_bind(PRICE_BANDS.to_vec())
        .push(") as band, p.in_stock, count(*) as products from products p");
    if let Some(matching) = matching {
        matching.push_join(&mut sql);
    }
    filters.push_conditions(&mut sql, matching);
    if filters.category.is_some() {
        sql.push(" and p.category_id in (select id from subtree)");
    }
    sql.push(
        " group by grouping sets ((p.brand_id), (p.category_id), (band), (p.in_stock)))
         select case when counted.brand_id is not null then 'brand'
                     when counted.category_id is not null then 'category'
                     when band is not null then 'price'
                     else 'stock' end as facet,
                coalesce(b.slug, c.slug) as slug, coalesce(b.name, c.name) as name, band, in_stock, products
         from counted
         left join brands b on b.id = counted.brand_id
         left join categories c on c.id = counted.category_id
         order by band, products desc, slug",
    );
    sql
}
