//! `DELETE /v1/carts/{id}/coupon`: removes a cart's coupon, if it has one. Two statements: a write and a read.

use std::sync::Arc;

use axum::extract::State;

use super::cart::CartView;
use super::cart_owner::CartKey;
use super::read_cart::read_cart;
use super::{ATTEMPTS, Carts, cart_ordered, too_contended, unknown_cart};
use crate::database::InstrumentedConnection;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// Removes your cart's coupon.
#[utoipa::path(
    delete,
    path = "/v1/carts/{id}/coupon",
    tag = "Carts",
    params(
        ("id" = Uuid, Path, description = "The cart's id"),
        ("x-cart-token" = Option<String>, Header, description = "A guest's cart: `token` of the response that created it"),
    ),
    security((), ("bearer" = [])),
    responses(
        (status = 200, body = CartView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "`cart_ordered`"),
    )
)]
pub async fn delete_coupon(
    State(carts): State<Arc<Carts>>,
    timings: RequestTimings,
    key: CartKey,
    _: NoParameters,
) -> Result<Answer, ApiError> {
    let mut connection = carts.database.acquire(&timings).await?;
    remove(&mut connection, &key).await?;
    let cart = read_cart(&mut connection, &key, None).await?;
    drop(connection);
    cart.ok_or_else(unknown_cart)?.answer()
}

/// With an optimistic lock on the cart's version, as in `put_item.rs`, because a concurrently ordered cart must not be
/// changed.
async fn remove(connection: &mut InstrumentedConnection<'_>, key: &CartKey) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        let found = sqlx::query!(
            r#"with seen as (
                   select c.id, c.updated_at, c.coupon_code,
                          exists (select from orders o where o.cart_id = c.id) as ordered
                   from carts c
                   where c.id = $1 and (c.customer_id = $2 or c.token_hash = $3)
               ), cart as (
                   update carts c
                   set coupon_code = null,
                       updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
                   from seen
                   where c.id = seen.id and c.updated_at = seen.updated_at and not seen.ordered
                     and seen.coupon_code is not null
                   returning c.id
               )
               select ordered as "ordered!", coupon_code is not null as "has_coupon!",
                      exists (select from cart) as "written!"
               from seen"#,
            key.id,
            key.customer,
            key.token()
        )
        .fetch_optional(&mut *connection)
        .await?;
        match found {
            None => return Err(unknown_cart()),
            Some(found) if found.ordered => return Err(cart_ordered()),
            Some(found) if found.written || !found.has_coupon => return Ok(()),
            Some(_) => {}
        }
    }
    Err(too_contended())
}
