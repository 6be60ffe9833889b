//! `PATCH /v1/admin/products/{slug}`: changes a product's texts, prices, and visibility.
//!
//! Rows are locked in the lock order of sales, variants before their product, which rules out deadlocks. Then one
//! statement writes product, prices and the audit log.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shop::money::{Currency, Money};
use utoipa::ToSchema;

use super::price::{Price, VariantPrice, given};
use super::product_rows::{Log, ProductRow, VariantRow, lock_product, lock_variants, write};
use super::{Administration, name_in_path};
use crate::import::clean_description;
use crate::sessions::Admin;
use crate::web::answer::Answer;
use crate::web::body::{BoundedString, JsonBody};
use crate::web::error::{ApiError, Problem};
use crate::web::money::MoneySchema;
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// The fields to change. Omitted fields stay; at least one is required.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductChange {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 255)]
    title: Option<BoundedString<255>>,
    /// HTML or plain text. Dangerous markup is removed, as in imports.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, max_length = 65536)]
    description: Option<String>,
    /// Whether it is shown and sold.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    active: Option<bool>,
    /// The price of a product with one variant.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = MoneySchema, required = false)]
    price: Option<Price>,
    /// Prices by variant, in the product's currency, which never changes.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<VariantPrice>, required = false)]
    prices: Option<Vec<VariantPrice>>,
}

/// A product as admins see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminProduct {
    pub slug: String,
    pub title: String,
    /// Sanitized HTML or plain text.
    pub description: String,
    /// Whether it is shown and sold.
    pub active: bool,
    pub variants: Vec<AdminVariant>,
}

/// A variant with its exact stock, which customers don't see.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminVariant {
    pub sku: String,
    pub title: String,
    #[schema(value_type = MoneySchema)]
    pub price: Money,
    /// The former price, for display.
    #[schema(value_type = Option<MoneySchema>)]
    pub compare_at_price: Option<Money>,
    /// Units in stock.
    pub stock_quantity: i32,
}

/// Changes a product.
#[utoipa::path(
    patch,
    path = "/v1/admin/products/{slug}",
    tag = "Admin",
    params(("slug" = String, Path, description = "The product's slug; inactive products have one, too")),
    request_body = ProductChange,
    security(("bearer" = [])),
    responses(
        (status = 200, body = AdminProduct),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "`several_variants`, `currency_differs`"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn update_product(
    State(administration): State<Arc<Administration>>,
    timings: RequestTimings,
    Admin(admin): Admin,
    slug: Result<Path<String>, PathRejection>,
    _: NoParameters,
    JsonBody(change): JsonBody<ProductChange>,
) -> Result<Answer, ApiError> {
    let slug = name_in_path(slug, unknown_product)?;
    let change = change.checked()?;

    let mut connection = administration.database.acquire(&timings).await?;
    let mut transaction = connection.begin().await?;
    let mut variants = lock_variants(&mut transaction, &slug).await?;
    let product = lock_product(&mut transaction, &slug).await?;
    let mut product = product.ok_or_else(unknown_product)?;
    let mut log = Log::default();
    change_product(&mut product, &change, &mut log);
    let repriced = change_prices(&product, &mut variants, &change, &mut log)?;
    if !log.is_empty() {
        write(&mut transaction, &product, &repriced, admin.id, &log).await?;
    }
    transaction.commit().await?;
    drop(connection);

    variants.sort_by_key(|variant| (variant.position, variant.id));
    let body = serde_json::to_vec(&view(product, variants)).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body))
}

fn unknown_product() -> ApiError {
    ApiError::NotFound("no product has this slug".to_owned())
}

impl ProductChange {
    /// Validates what doesn't depend on the database, and sanitizes the description.
    fn checked(mut self) -> Result<Self, ApiError> {
        if let Some(description) = &self.description {
            if description.contains('\0') {
                return Err(ApiError::parameter(
                    "description",
                    "contains a NUL byte; send text",
                ));
            }
            let cleaned = clean_description(description);
            self.description = Some(cleaned.map_err(|fault| ApiError::parameter("description", fault))?);
        }
        if self.price.is_some() && self.prices.is_some() {
            return Err(ApiError::parameter(
                "price",
                "is given together with `prices`; give one of them",
            ));
        }
        let says_nothing = self.title.is_none()
            && self.description.is_none()
            && self.active.is_none()
            && self.price.is_none()
            && self.prices.is_none();
        if says_nothing {
            let detail = "changes nothing; give title, description, active, price or prices";
            return Err(ApiError::parameter("body", detail));
        }
        Ok(self)
    }
}

fn change_product(product: &mut ProductRow, change: &ProductChange, log: &mut Log) {
    if let Some(title) = &change.title {
        log.replace("title", &mut product.title, &title.as_str().to_owned());
    }
    if let Some(description) = &change.description {
        log.replace("description", &mut product.description, description);
    }
    if let Some(active) = &change.active {
        log.replace("active", &mut product.active, active);
    }
}

/// Changes the prices in the rows, and returns the changed rows.
fn change_prices(
    product: &ProductRow,
    variants: &mut [VariantRow],
    change: &ProductChange,
    log: &mut Log,
) -> Result<Vec<VariantRow>, ApiError> {
    let currency = product.currency.parse::<Currency>().map_err(ApiError::internal)?;
    let mut repriced = Vec::new();
    let (mut before, mut after) = (Map::new(), Map::new());
    let mut reprice = |variant: &mut VariantRow, price: Option<Price>, former: Option<Option<Price>>| {
        let mut of_variant = Log::default();
        if let Some(price) = price {
            let new = in_currency(price, currency)?;
            of_variant.replace(
                "price",
                &mut Money {
                    amount: variant.price_cents,
                    ..new
                },
                &new,
            );
            variant.price_cents = new.amount;
        }
        if let Some(former) = former {
            let new = former.map(|former| in_currency(former, currency)).transpose()?;
            let mut old = variant.compare_at_cents.map(|amount| Money { amount, currency });
            of_variant.replace("compare_at_price", &mut old, &new);
            variant.compare_at_cents = new.map(|former| former.amount);
        }
        if !of_variant.is_empty() {
            before.insert(variant.sku.clone(), Value::Object(of_variant.before));
            after.insert(variant.sku.clone(), Value::Object(of_variant.after));
            repriced.push(variant.clone());
        }
        Ok::<(), ApiError>(())
    };
    if let Some(price) = change.price {
        match variants {
            [only] => reprice(only, Some(price), None)?,
            _ => return Err(several_variants(variants.len())),
        }
    }
    let given = change.prices.as_deref().unwrap_or_default();
    for (index, new) in given.iter().enumerate() {
        let invalid_sku = |detail: &str| ApiError::parameter(format!("prices[{index}].sku"), detail);
        if given[..index].iter().any(|earlier| earlier.sku == new.sku) {
            return Err(invalid_sku("is given twice; give it once"));
        }
        let variant = variants.iter_mut().find(|variant| variant.sku == new.sku);
        let variant = variant.ok_or_else(|| invalid_sku("is not a SKU of this product"))?;
        reprice(variant, new.price, new.compare_at_price)?;
    }
    if !after.is_empty() {
        log.before.insert("prices".to_owned(), Value::Object(before));
        log.after.insert("prices".to_owned(), Value::Object(after));
    }
    Ok(repriced)
}

fn in_currency(price: Price, currency: Currency) -> Result<Money, ApiError> {
    let money = price.money();
    if money.currency == currency {
        return Ok(money);
    }
    Err(ApiError::Conflict {
        code: "currency_differs",
        detail: format!(
            "the product is sold in {currency}, the price is in {}",
            money.currency
        ),
    })
}

fn several_variants(count: usize) -> ApiError {
    ApiError::Conflict {
        code: "several_variants",
        detail: format!("the product has {count} variants; give `prices` by SKU"),
    }
}

fn view(product: ProductRow, variants: Vec<VariantRow>) -> AdminProduct {
    let currency = product.currency.parse().unwrap_or(Currency::EUR);
    let money = |amount| Money { amount, currency };
    let variants = variants.into_iter().map(|variant| AdminVariant {
        sku: variant.sku,
        title: variant.title,
        price: money(variant.price_cents),
        compare_at_price: variant.compare_at_cents.map(money),
        stock_quantity: variant.stock_quantity,
    });
    AdminProduct {
        slug: product.slug,
        title: product.title,
        description: product.description,
        active: product.active,
        variants: variants.collect(),
    }
}
