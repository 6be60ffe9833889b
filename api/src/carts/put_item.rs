//! `PUT /v1/carts/{id}/items/{sku}`: sets the quantity of a SKU in a cart. Zero removes the line.
//!
//! Two statements, which need no transaction: a conditional write that also returns why it was rejected, and a read
//! for the response.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use serde::Deserialize;
use shop::cart_limits::{MAX_LINES, MAX_QUANTITY};
use utoipa::ToSchema;

use super::cart::CartView;
use super::cart_owner::CartKey;
use super::read_cart::read_cart;
use super::{ATTEMPTS, Carts, cart_ordered, too_contended, unknown_cart};
use crate::database::InstrumentedConnection;
use crate::web::answer::Answer;
use crate::web::body::JsonBody;
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;
use crate::web::whole_number::WholeNumber;

/// The longest SKU, in characters: the bound of its column.
const MAX_SKU_CHARS: usize = 255;

/// A quantity. There is no field for a price: clients don't set prices.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// Units; 0 removes the line.
    #[schema(value_type = i32, minimum = 0, maximum = 1000)]
    pub quantity: WholeNumber<0, MAX_QUANTITY>,
}

/// The SKU in a path. An invalid SKU is a 404, like an unknown one.
#[derive(Debug)]
pub struct Sku(String);

#[derive(Deserialize)]
struct SkuInPath {
    sku: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Sku {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<SkuInPath>::from_request_parts(parts, state).await {
            // Postgres rejects NUL in text.
            Ok(Path(SkuInPath { sku })) if sku.chars().count() <= MAX_SKU_CHARS && !sku.contains('\0') => {
                Ok(Self(sku))
            }
            _ => Err(unknown_sku()),
        }
    }
}

/// Sets the quantity of a SKU in your cart.
#[utoipa::path(
    put,
    path = "/v1/carts/{id}/items/{sku}",
    tag = "Carts",
    params(
        ("id" = Uuid, Path, description = "The cart's id"),
        ("sku" = String, Path, description = "`sku` of a variant"),
        ("x-cart-token" = Option<String>, Header, description = "A guest's cart: `token` of the response that created it"),
    ),
    request_body = Quantity,
    security((), ("bearer" = [])),
    responses(
        (status = 200, body = CartView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "`inactive`, `currency_differs`, `cart_full`, `cart_ordered`"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn put_item(
    State(carts): State<Arc<Carts>>,
    timings: RequestTimings,
    key: CartKey,
    Sku(sku): Sku,
    _: NoParameters,
    JsonBody(Quantity { quantity }): JsonBody<Quantity>,
) -> Result<Answer, ApiError> {
    let mut connection = carts.database.acquire(&timings).await?;
    match quantity.get() {
        0 => remove_item(&mut connection, &key, &sku).await?,
        wanted => set_item(&mut connection, &key, &sku, wanted as i32).await?,
    }
    let cart = read_cart(&mut connection, &key, None).await?;
    drop(connection);
    cart.ok_or_else(unknown_cart)?.answer()
}

async fn set_item(
    connection: &mut InstrumentedConnection<'_>,
    key: &CartKey,
    sku: &str,
    quantity: i32,
) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        let outcome = try_set_item(connection, key, sku, quantity)
            .await?
            .ok_or_else(unknown_cart)?;
        if outcome.written {
            return Ok(());
        }
        if let Some(rejection) = outcome.rejection(sku) {
            return Err(rejection);
        }
    }
    Err(too_contended())
}

/// Whether the line was written, and the state of the cart and the variant that decided it.
struct WriteOutcome {
    written: bool,
    ordered: bool,
    /// `None` when no variant has the SKU.
    active: Option<bool>,
    /// `None` when no variant has the SKU.
    currency: Option<String>,
    /// The cart's lines of other SKUs.
    other_lines: i64,
    /// The currency of those lines. `None` without any.
    cart_currency: Option<String>,
}

impl WriteOutcome {
    /// Why nothing was written. `None` when a concurrent write to the cart was the only reason.
    fn rejection(&self, sku: &str) -> Option<ApiError> {
        if self.ordered {
            return Some(cart_ordered());
        }
        let (Some(active), Some(currency)) = (self.active, &self.currency) else {
            return Some(unknown_sku());
        };
        let conflict = |code, detail| Some(ApiError::Conflict { code, detail });
        if !active {
            return conflict("inactive", format!("`{sku}` is no longer sold"));
        }
        match &self.cart_currency {
            Some(cart_currency) if cart_currency != currency => {
                let detail = format!("`{sku}` is sold in {currency}, and this cart is in {cart_currency}");
                conflict("currency_differs", detail)
            }
            _ if self.other_lines >= MAX_LINES => {
                conflict("cart_full", format!("a cart holds at most {MAX_LINES} lines"))
            }
            _ => None,
        }
    }
}

/// Writes the line under an optimistic lock. `updated_at` only grows, so it serves as the cart's version. The second
/// of two concurrent writes finds a newer version than it read and writes nothing, so a cart never exceeds its
/// limit of lines or mixes currencies. Ordering the cart changes the version too.
async fn try_set_item(
    connection: &mut InstrumentedConnection<'_>,
    key: &CartKey,
    sku: &str,
    quantity: i32,
) -> Result<Option<WriteOutcome>, sqlx::Error> {
    let outcome = sqlx::query_file_as!(
        WriteOutcome,
        "src/carts/write_item.sql",
        key.id,
        key.customer,
        key.token(),
        sku,
        quantity,
        MAX_LINES
    );
    outcome.fetch_optional(connection).await
}

/// Removes a line, even if its variant is no longer sold; a missing line is no error. Uses the same optimistic lock as
/// [`try_set_item`].
async fn remove_item(
    connection: &mut InstrumentedConnection<'_>,
    key: &CartKey,
    sku: &str,
) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        let found = sqlx::query!(
            r#"with seen as (
                   select c.id, c.updated_at, exists (select from orders o where o.cart_id = c.id) as ordered
                   from carts c
                   where c.id = $1 and (c.customer_id = $2 or c.token_hash = $3)
               ), variant as (
                   select id from variants where sku = $4
               ), line as (
                   select i.cart_id, i.variant_id
                   from seen, variant, cart_items i
                   where i.cart_id = seen.id and i.variant_id = variant.id
               ), cart as (
                   update carts c set updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
                   from seen, line
                   where c.id = seen.id and c.updated_at = seen.updated_at and not seen.ordered
                   returning c.id
               ), taken_out as (
                   delete from cart_items i using cart, line
                   where i.cart_id = cart.id and i.variant_id = line.variant_id
               )
               select ordered as "ordered!", exists (select from variant) as "known!",
                      exists (select from line) as "has_line!", exists (select from cart) as "written!"
               from seen"#,
            key.id,
            key.customer,
            key.token(),
            sku
        )
        .fetch_optional(&mut *connection)
        .await?;
        match found {
            None => return Err(unknown_cart()),
            Some(found) if found.ordered => return Err(cart_ordered()),
            Some(found) if !found.known => return Err(unknown_sku()),
            Some(found) if found.written || !found.has_line => return Ok(()),
            Some(_) => {}
        }
    }
    Err(too_contended())
}

fn unknown_sku() -> ApiError {
    ApiError::NotFound(
        "no variant has this SKU; /v1/products/{slug}?include=variants lists the SKUs of a product"
            .to_owned(),
    )
}
