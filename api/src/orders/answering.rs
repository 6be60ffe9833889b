//! How a client is told what became of its order: now, again, or by another request than the one that settled it.

use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::giving_back::void;
use super::order::{Order, Status};
use super::place_order::PlaceOrder;
use super::settlement::Settled;
use super::show_order;
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::opaque_token::TokenHash;
use crate::state::App;

/// Tells the client, and everybody whom a paid order concerns. Everything is committed by now.
///
/// # Errors
/// 402 when it was declined; 400 for a token that the gateway doesn't know.
pub(super) async fn answer(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    settled: Settled,
) -> Result<Response, ApiError> {
    match settled {
        Settled::Paid {
            order,
            body,
            payment_id,
            said,
        } => {
            app.orders.events.committed(&said).await;
            app.orders
                .checkout
                .after_payment(app, timings, &order, &payment_id)
                .await;
            tell(app, (order.id, order.token_hash), StatusCode::CREATED, body)
        }
        Settled::Declined => Err(ApiError::Declined),
        Settled::Withdrawn => Err(ApiError::parameter(
            "payment_token",
            "is unknown to the payment gateway; nothing was ordered",
        )),
        Settled::Unknown(order) => {
            let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
            tell(app, (order.id, order.token_hash), StatusCode::ACCEPTED, body)
        }
        Settled::Elsewhere { order, payment_id } => {
            let mut session = app.database.session(timings).await?;
            let order = show_order::read_order(&mut session, order, None).await?;
            drop(session);
            let order = order.ok_or_else(|| ApiError::internal("an order was withdrawn twice"))?;
            if matches!(order.status, Status::PaymentFailed | Status::Cancelled) && payment_id.is_some() {
                void(app, timings, order.id, payment_id).await?;
            }
            tell_settled(app, timings, request, order).await
        }
    }
}

/// An order that was settled by somebody else: the answer is kept under the request's key.
///
/// # Errors
/// 402 when it was declined.
pub(super) async fn tell_settled(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    order: Order,
) -> Result<Response, ApiError> {
    let mut session = app.database.session(timings).await?;
    match order.status {
        Status::PaymentFailed => {
            request.key.keep_answer(&mut session, 402, &[]).await?;
            Err(ApiError::Declined)
        }
        _ => {
            let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
            request.key.keep_answer(&mut session, 201, &body).await?;
            tell(app, (order.id, order.token_hash), StatusCode::CREATED, body)
        }
    }
}

/// The kept answer.
///
/// # Errors
/// When it can't be told, which is a fault of ours.
pub(super) fn replay(
    app: &App,
    order: (Uuid, Option<TokenHash>),
    status: i16,
    body: Vec<u8>,
) -> Result<Response, ApiError> {
    let mut response = match status {
        402 => ApiError::Declined.into_response(),
        _ => tell(app, order, StatusCode::CREATED, body)?,
    };
    let replayed = HeaderName::from_static("idempotency-replayed");
    response
        .headers_mut()
        .insert(replayed, HeaderValue::from_static("true"));
    Ok(response)
}

/// The order; a guest's with the token that opens it. The token is no part of what is kept: it can be made again, as long
/// as the key is there that it was made with.
fn tell(
    app: &App,
    (order, token_hash): (Uuid, Option<TokenHash>),
    status: StatusCode,
    mut body: Vec<u8>,
) -> Result<Response, ApiError> {
    if let Some(token) = token_hash.and_then(|hash| app.orders.tokens.again(order, &hash)) {
        let closed = body.pop();
        debug_assert_eq!(closed, Some(b'}'), "an order is a JSON object");
        body.extend_from_slice(format!(",\"order_token\":\"{}\"}}", token.text()).as_bytes());
    }
    let location = HeaderValue::try_from(format!("/v1/orders/{order}")).map_err(ApiError::internal)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (LOCATION, location),
    ];
    Ok((status, headers, body).into_response())
}
