//! The request to place an order: its headers and body, validated as far as possible without the database.

use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use serde::{Deserialize, Serialize};
use shop::email_address::EmailAddress;
use shop::money::Money;
use utoipa::ToSchema;
use uuid::Uuid;

use super::idempotency::{IdempotencyKey, RequestKey};
use crate::opaque_token::TokenHash;
use crate::postal_address::PostalAddress;
use crate::pricing::ShippingMethod;
use crate::sessions::{Authentication, MaybeCustomer};
use crate::web::body::{BoundedString, JsonBody};
use crate::web::error::ApiError;
use crate::web::guest_tokens::CartToken;
use crate::web::money::MoneySchema;
use crate::web::query::NoParameters;
use crate::web::trace_context::TraceContext;

/// An order request. It sets no price: the shop does.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// The cart. A guest's needs its `x-cart-token`.
    pub cart_id: Uuid,
    /// Where mails about the order go. Required for a guest; a customer's own is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 254)]
    pub email: Option<EmailAddress>,
    pub shipping_address: PostalAddress,
    pub shipping_method: ShippingMethod,
    /// The gateway's token for the payment method.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    pub payment_token: BoundedString<255>,
    /// The total that the customer was shown, shipping included. It is compared with the shop's own total and never
    /// used as the price: if they differ, nothing is ordered, 409 `cart_changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MoneySchema>)]
    pub expected_total: Option<Money>,
}

/// A request to place an order, validated as far as possible without the database.
#[derive(Debug)]
pub struct PlaceOrder {
    /// The signed-in customer.
    pub customer: Option<Uuid>,
    /// Authorizes access to a guest's cart.
    pub cart_token: Option<TokenHash>,
    pub key: RequestKey,
    pub order: NewOrder,
    /// W3C trace context, for the order's events.
    pub trace_context: Option<String>,
}

impl<S> FromRequest<S> for PlaceOrder
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (mut head, body) = request.into_parts();
        let MaybeCustomer(customer) = MaybeCustomer::from_request_parts(&mut head, state).await?;
        let CartToken(cart_token) = CartToken::from_request_parts(&mut head, state).await?;
        let key = IdempotencyKey::from_request_parts(&mut head, state).await?;
        NoParameters::from_request_parts(&mut head, state).await?;
        let Ok(TraceContext(trace_context)) = TraceContext::from_request_parts(&mut head, state).await;
        let JsonBody(order) =
            JsonBody::<NewOrder>::from_request(Request::from_parts(head, body), state).await?;
        let customer = customer.map(|customer| customer.id);
        // Requests that differ only in field order or whitespace are equal.
        let canonical = serde_json::to_vec(&order).map_err(ApiError::internal)?;
        Ok(Self {
            customer,
            cart_token,
            key: RequestKey::new(customer, (order.cart_id, cart_token.as_ref()), key, &canonical),
            order,
            trace_context,
        })
    }
}
