//! `POST /v1/orders`: from a cart to an order, and the lesson `stock`.
//!
//! The flow of an order: the cart is read and priced (`basket.rs`); the order queues for its SKUs
//! (`../sku_queue.rs`); a short transaction creates it and reserves its stock (`reservation/` and the arm); the
//! payment is authorized with no transaction open; one statement marks it paid and enqueues the event
//! (`../payment.rs`). The client's idempotency key is bound to the order from the first transaction on, so that a
//! request whose response was lost is resumed, never repeated.
//!
//! The arms of `stock` differ in how they prevent overselling: `conditional.rs`, compared with `row_lock.rs`,
//! `row_lock_through_payment.rs` and `read_then_write.rs`.

#[cfg(feature = "baselines")]
pub mod locked_stock;
#[cfg(feature = "baselines")]
pub mod read_then_write;
#[cfg(feature = "baselines")]
pub mod row_lock;
#[cfg(feature = "baselines")]
pub mod row_lock_through_payment;

pub mod conditional;

pub mod basket;
pub mod holdings;
pub mod reservation;

use std::time::Instant;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use storefront::email_address::EmailAddress;
use storefront::money::Money;
use storefront::telemetry::{order_reached, trace};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use self::basket::{Basket, Item, LookupResult};
use super::idempotency::{IdempotencyKey, IdempotencyOutcome, RequestKey, in_progress};
use super::order::Order;
use super::sku_queue::SkuTurn;
use super::{payment, response, show_order};
use crate::database::Session;
use crate::database::deadlock::is_deadlock;
use crate::http::body::{BoundedString, JsonBody};
use crate::http::error::ApiError;
use crate::http::identity::{CartToken, MaybeCustomer};
use crate::http::money::MoneySchema;
use crate::http::query::Parameters;
use crate::http::timings::{RequestTimings, Timings};
use crate::http::trace_context::TraceContext;
use crate::opaque_token::TokenHash;
use crate::postal_address::PostalAddress;
use crate::pricing::ShippingMethod;
use crate::state::{App, AppState};

/// How often an order is attempted when a concurrent request, a change of its cart or a deadlock interferes.
const ATTEMPTS: u32 = 4;

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

impl FromRequest<AppState> for PlaceOrder {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        let (mut head, body) = request.into_parts();
        let MaybeCustomer(customer) = MaybeCustomer::from_request_parts(&mut head, app).await?;
        let CartToken(cart_token) = CartToken::from_request_parts(&mut head, app).await?;
        let key = IdempotencyKey::from_request_parts(&mut head, app).await?;
        Parameters::parse(head.uri.query())?.finish()?;
        let Ok(TraceContext(trace_context)) = TraceContext::from_request_parts(&mut head, app).await;
        let JsonBody(order) =
            JsonBody::<NewOrder>::from_request(Request::from_parts(head, body), app).await?;
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

/// An order that isn't stored yet.
#[derive(Debug)]
pub struct OrderDraft {
    /// As the response shows it. Its number is assigned by the database.
    pub order: Order,
    /// The items of its lines, sorted by variant id.
    pub items: Vec<Item>,
    /// The version of the cart that was read.
    pub cart_version: OffsetDateTime,
    /// When its prices were read.
    pub priced_at: Instant,
    pub is_first_attempt: bool,
}

/// How a request starts.
pub(super) enum StartOutcome {
    /// It is finished: a replay, or a resumed order.
    Answered(Response),
    /// A new order can be placed.
    Draft(Box<OrderDraft>),
}

/// Why a reservation failed.
#[derive(Debug)]
pub enum ReserveError {
    /// Something changed since the cart was priced: a concurrent request, another order of the cart, a price, the
    /// last unit. The cart must be read again.
    Retry,
    /// The order can't be placed.
    Rejected(ApiError),
}

impl From<ApiError> for ReserveError {
    fn from(error: ApiError) -> Self {
        Self::Rejected(error)
    }
}

impl From<sqlx::Error> for ReserveError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            _ if is_deadlock(&error) => Self::Retry,
            Some(fault) if fault.constraint() == Some("orders_cart_id_key") => Self::Retry,
            _ => Self::Rejected(error.into()),
        }
    }
}

/// How an arm of `stock` takes an order's units, in the transaction of the reservation.
pub(super) trait TakeStock {
    /// Whether the units are taken by [`storefront::orders::take_stock`], on a condition.
    const IS_CONDITIONAL: bool = false;

    /// Takes all units, or returns an error, which rolls the transaction back.
    fn take_stock(
        transaction: &mut Session<'_>,
        draft: &OrderDraft,
    ) -> impl Future<Output = Result<(), ReserveError>> + Send;
}

/// Places an order in a short transaction, then pays it. Runs to completion even if the client disconnects.
pub(super) async fn place<S: TakeStock + 'static>(
    app: AppState,
    timings: RequestTimings,
    request: PlaceOrder,
) -> Result<Response, ApiError> {
    run_to_completion(async move {
        for attempt in 0..ATTEMPTS {
            let mut draft = match start(&app, &timings, &request).await? {
                StartOutcome::Answered(answer) => return Ok(answer),
                StartOutcome::Draft(draft) => draft,
            };
            draft.is_first_attempt = attempt == 0;
            let turn = take_turn(&app, &draft).await?;
            let reserved = reserve::<S>(&app, &timings, &request, &mut draft).await;
            drop(turn);
            match reserved {
                Ok(()) => return payment::pay(&app, &timings, &request, draft.order).await,
                Err(ReserveError::Retry) => {}
                Err(ReserveError::Rejected(error)) => return Err(error),
            }
        }
        Err(too_contended())
    })
    .await
}

/// Creates the order and reserves its stock, atomically.
async fn reserve<S: TakeStock>(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    draft: &mut OrderDraft,
) -> Result<(), ReserveError> {
    let mut session = app.database.session(timings).await?;
    let reservation = app.orders.reservation;
    reservation
        .reserve::<S>(app, &mut session, request, draft)
        .await?;
    order_reached("pending_payment");
    Ok(())
}

/// Queues for the order's SKUs, before it takes a connection.
async fn take_turn(app: &App, draft: &OrderDraft) -> Result<SkuTurn, ApiError> {
    let skus = draft.items.iter().map(|item| item.sku.as_str());
    app.orders.sku_queue.acquire(skus).await
}

/// Reads the cart, or resumes the key's order. One statement for a new order.
pub(super) async fn start(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
) -> Result<StartOutcome, ApiError> {
    let priced_at = Instant::now();
    let mut session = app.database.session(timings).await?;
    let known = match basket::read(&mut session, request).await? {
        LookupResult::Known(known) => known,
        LookupResult::Cart(basket) => {
            drop(session);
            let draft = draft(app, request, basket, priced_at)?;
            return Ok(StartOutcome::Draft(Box::new(draft)));
        }
        LookupResult::Nothing => {
            return Err(ApiError::NotFound(
                "no such cart, or none of yours; a guest's cart needs its `x-cart-token`".to_owned(),
            ));
        }
    };
    match known.check(&request.key)? {
        IdempotencyOutcome::Replay { order, status, body } => Ok(StartOutcome::Answered(response::replay(
            app, order, status, body,
        )?)),
        IdempotencyOutcome::Resume(id) => {
            if !request.key.lock(&mut session, &app.orders.settings).await? {
                return Err(in_progress());
            }
            let order = show_order::read_order(&mut session, id, None).await?;
            let order =
                order.ok_or_else(|| ApiError::internal("a key is bound to an order that isn't there"))?;
            drop(session);
            Ok(StartOutcome::Answered(
                payment::resume(app, timings, request, order).await?,
            ))
        }
    }
}

/// Runs to completion even if the client disconnects; otherwise a half-placed order would hold its stock until it is
/// reconciled.
pub(super) async fn run_to_completion(
    work: impl Future<Output = Result<Response, ApiError>> + Send + 'static,
) -> Result<Response, ApiError> {
    match tokio::spawn(trace::propagate(work)).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(ApiError::internal(error)),
        },
    }
}

/// After [`ATTEMPTS`] attempts.
pub(super) fn too_contended() -> ApiError {
    ApiError::Overloaded("an order was attempted too often under contention")
}

/// 409 `insufficient_stock`.
pub(super) fn insufficient_stock(skus: &[&str]) -> ApiError {
    ApiError::Conflict {
        code: "insufficient_stock",
        detail: format!("not enough in stock of: {}", skus.join(", ")),
    }
}

/// 409 `cart_changed`.
pub(super) fn cart_changed(detail: impl Into<String>) -> ApiError {
    ApiError::Conflict {
        code: "cart_changed",
        detail: detail.into(),
    }
}

/// Prices the basket, and rejects one that can't be ordered.
fn draft(
    app: &App,
    request: &PlaceOrder,
    basket: Basket,
    priced_at: Instant,
) -> Result<OrderDraft, ApiError> {
    if basket.is_ordered {
        return Err(ApiError::Conflict {
            code: "cart_ordered",
            detail: "this cart was ordered already; see GET /v1/orders".to_owned(),
        });
    }
    holdings::check(&app.orders.settings, request.customer, &basket)?;
    let priced = basket.price(request.order.shipping_method)?;
    if let Some(expected) = request.order.expected_total
        && expected != priced.totals.total
    {
        return Err(cart_changed(format!(
            "it now costs {}, not {expected}; check the cart again",
            priced.totals.total
        )));
    }
    let email = match (&request.order.email, basket.customer_email) {
        (Some(email), _) => email.as_str().to_owned(),
        (None, Some(email)) => email,
        (None, None) => {
            return Err(ApiError::parameter(
                "email",
                "is missing; guests must provide one",
            ));
        }
    };
    let id = Uuid::now_v7();
    let created_at = super::order::now();
    let address = serde_json::to_value(&request.order.shipping_address).map_err(ApiError::internal)?;
    let token_hash = match request.customer {
        Some(_) => None,
        None => Some(app.orders.tokens.derive(id).hash()),
    };
    Ok(OrderDraft {
        order: Order {
            id,
            number: 0,
            status: super::order::Status::PendingPayment,
            created_at,
            email,
            items: priced.lines,
            totals: priced.totals,
            coupon: priced.coupon,
            shipping_method: request.order.shipping_method.as_str().into(),
            shipping_address: address,
            tracking_number: None,
            timeline: vec![super::order::TimelineEvent {
                event: "created".into(),
                at: created_at,
            }],
            token_hash,
        },
        items: basket.items,
        cart_version: basket.version,
        priced_at,
        is_first_attempt: true,
    })
}
