//! The response to a request that placed an order: by its outcome, replayed, or by the status that another request
//! set.

use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::order::{Order, Status};
use super::payment::PaymentOutcome;
use super::place_order::PlaceOrder;
use super::show_order;
use super::void::void_payment;
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::opaque_token::TokenHash;
use crate::state::App;

/// Publishes a paid order's event, does the arm's side work, and builds the response. Everything is committed by now.
///
/// # Errors
/// 402 when it was declined; 400 for an unknown payment token.
pub(super) async fn respond(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    outcome: PaymentOutcome,
) -> Result<Response, ApiError> {
    match outcome {
        PaymentOutcome::Paid {
            order,
            body,
            payment_id,
            event,
        } => {
            app.orders.events.after_commit(&event).await;
            app.orders
                .checkout
                .after_payment(app, timings, &order, &payment_id)
                .await;
            order_response(app, (order.id, order.token_hash), StatusCode::CREATED, body)
        }
        PaymentOutcome::Declined => Err(ApiError::Declined),
        PaymentOutcome::Discarded => Err(ApiError::parameter(
            "payment_token",
            "is unknown to the payment gateway; nothing was ordered",
        )),
        PaymentOutcome::Unknown(order) => {
            let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
            order_response(app, (order.id, order.token_hash), StatusCode::ACCEPTED, body)
        }
        PaymentOutcome::AlreadySettled { order, payment_id } => {
            let mut session = app.database.session(timings).await?;
            let order = show_order::read_order(&mut session, order, None).await?;
            drop(session);
            let order = order.ok_or_else(|| ApiError::internal("an order was discarded twice"))?;
            if matches!(order.status, Status::PaymentFailed | Status::Cancelled) && payment_id.is_some() {
                void_payment(app, timings, order.id, payment_id).await?;
            }
            respond_settled(app, timings, request, order).await
        }
    }
}

/// The response for an order that another request settled; it is stored under this request's key.
///
/// # Errors
/// 402 when it was declined.
pub(super) async fn respond_settled(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    order: Order,
) -> Result<Response, ApiError> {
    let mut session = app.database.session(timings).await?;
    match order.status {
        Status::PaymentFailed => {
            request.key.store_response(&mut session, 402, &[]).await?;
            Err(ApiError::Declined)
        }
        _ => {
            let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
            request.key.store_response(&mut session, 201, &body).await?;
            order_response(app, (order.id, order.token_hash), StatusCode::CREATED, body)
        }
    }
}

/// Replays the stored response.
///
/// # Errors
/// When the response can't be built, which is a bug.
pub(super) fn replay(
    app: &App,
    order: (Uuid, Option<TokenHash>),
    status: i16,
    body: Vec<u8>,
) -> Result<Response, ApiError> {
    let mut response = match status {
        402 => ApiError::Declined.into_response(),
        _ => order_response(app, order, StatusCode::CREATED, body)?,
    };
    let replayed = HeaderName::from_static("idempotency-replayed");
    response
        .headers_mut()
        .insert(replayed, HeaderValue::from_static("true"));
    Ok(response)
}

/// The order; a guest's with its token. The token isn't stored with the response: it is derived again, as long as its
/// key exists.
fn order_response(
    app: &App,
    (order, token_hash): (Uuid, Option<TokenHash>),
    status: StatusCode,
    mut body: Vec<u8>,
) -> Result<Response, ApiError> {
    if let Some(token) = token_hash.and_then(|hash| app.orders.tokens.derive_again(order, &hash)) {
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
