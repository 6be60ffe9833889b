//! `PUT /v1/carts/{id}/coupon`: adds a coupon to a cart, if it applies now. Each later read checks again whether it
//! applies.
//!
//! Two statements: the cart is read as if it had the coupon, so that the pricing logic isn't duplicated, and then
//! updated.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::cart::CartView;
use super::cart_owner::CartKey;
use super::read_cart::read_cart;
use super::{ATTEMPTS, Carts, cart_ordered, too_contended, unknown_cart};
use crate::database::InstrumentedConnection;
use crate::web::answer::Answer;
use crate::web::body::{BoundedString, JsonBody};
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// A coupon's code; not case-sensitive.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CouponCode {
    /// Letters, digits and hyphens.
    #[schema(value_type = String, min_length = 1, max_length = 32)]
    pub code: BoundedString<32>,
}

/// Adds a coupon to your cart, replacing an earlier one.
#[utoipa::path(
    put,
    path = "/v1/carts/{id}/coupon",
    tag = "Carts",
    params(
        ("id" = Uuid, Path, description = "The cart's id"),
        ("x-cart-token" = Option<String>, Header, description = "A guest's cart: `token` of the response that created it"),
    ),
    request_body = CouponCode,
    security((), ("bearer" = [])),
    responses(
        (status = 200, body = CartView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "`coupon_not_yet_valid`, `coupon_expired`, `coupon_used_up`, `coupon_below_minimum`, \
                        `coupon_other_currency`, `cart_ordered`"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn put_coupon(
    State(carts): State<Arc<Carts>>,
    timings: RequestTimings,
    key: CartKey,
    _: NoParameters,
    JsonBody(CouponCode { code }): JsonBody<CouponCode>,
) -> Result<Answer, ApiError> {
    let code = code.as_str().to_ascii_uppercase();
    let mut connection = carts.database.acquire(&timings).await?;
    let cart = read_cart(&mut connection, &key, Some(&code))
        .await?
        .ok_or_else(unknown_cart)?;
    if cart.ordered {
        return Err(cart_ordered());
    }
    let (Some(coupon), Some(discount)) = (cart.coupon(), cart.discount()) else {
        return Err(ApiError::NotFound("no coupon has this code".to_owned()));
    };
    if let Err((code, detail)) = discount {
        return Err(ApiError::Conflict { code, detail });
    }
    add_coupon(&mut connection, &key, coupon.code()).await?;
    drop(connection);
    cart.answer()
}

/// Uses an optimistic lock on the cart's version, as in `put_item.rs`, so that a cart that is ordered concurrently
/// isn't changed.
async fn add_coupon(
    connection: &mut InstrumentedConnection<'_>,
    key: &CartKey,
    code: &str,
) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        let found = sqlx::query!(
            r#"with seen as (
                   select c.id, c.updated_at, exists (select from orders o where o.cart_id = c.id) as ordered
                   from carts c
                   where c.id = $1 and (c.customer_id = $2 or c.token_hash = $3)
               ), cart as (
                   update carts c
                   set coupon_code = $4, updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
                   from seen
                   where c.id = seen.id and c.updated_at = seen.updated_at and not seen.ordered
                   returning c.id
               )
               select ordered as "ordered!", exists (select from cart) as "written!" from seen"#,
            key.id,
            key.customer,
            key.token(),
            code
        )
        .fetch_optional(&mut *connection)
        .await?;
        match found {
            None => return Err(unknown_cart()),
            Some(found) if found.ordered => return Err(cart_ordered()),
            Some(found) if found.written => return Ok(()),
            Some(_) => {}
        }
    }
    Err(too_contended())
}
