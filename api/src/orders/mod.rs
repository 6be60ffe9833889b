//! Orders: from a cart to a parcel. Read first `place_order/mod.rs`, which describes the whole flow.
//!
//! The folders `order_lines`, `history`, `checkout` and `events` are components with lessons; the lesson `stock` is a
//! handler switch in `place_order`.

pub mod place_order;

pub mod cancel_order;
pub mod carrier_webhook;
pub mod list_orders;
pub mod show_order;

pub mod order;

pub mod idempotency;
pub mod payment;
pub mod response;
pub mod sku_queue;
pub mod void;

pub mod checkout;
pub mod events;
pub mod history;
pub mod order_lines;

use storefront::keyring::{DerivedKeys, Keyring};
use storefront::third_parties::payment::PaymentGateway;
use storefront::variants::{Stock, Variants};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::carrier_webhook::CarrierSignatures;
use self::checkout::Checkout;
use self::events::Events;
use self::history::OrderHistory;
use self::order_lines::OrderLines;
use self::place_order::reservation::Reservation;
use self::sku_queue::SkuQueue;
use crate::database::stock_writers;
use crate::http::cursor::CursorKeys;
use crate::opaque_token::{OpaqueToken, TokenHash};
use crate::settings::{OrderSettings, Settings};
use crate::state::{AppState, BuildAppError};

/// What the orders' handlers use, each component built as its arm.
pub struct Orders {
    pub reservation: Reservation,
    pub lines: OrderLines,
    pub history: OrderHistory,
    pub checkout: Checkout,
    pub events: Events,
    pub payments: PaymentGateway,
    /// Sign the cursors of lists.
    pub cursors: CursorKeys,
    /// Derive the tokens of guests' orders.
    pub tokens: OrderTokens,
    /// Verifies the carrier's webhooks.
    pub carrier: CarrierSignatures,
    /// Limits concurrent work on a SKU's stock.
    pub sku_queue: SkuQueue,
    pub settings: OrderSettings,
}

impl Orders {
    /// Builds each component as its arm, without connecting to anything.
    ///
    /// # Errors
    /// When a setting can't be used.
    pub fn new(variants: &Variants, settings: &Settings) -> Result<Self, BuildAppError> {
        settings.orders.check()?;
        let payments = PaymentGateway::new(&settings.orders.payment)?;
        let stock_writers = stock_writers(&settings.database, &settings.bulkheads);
        Ok(Self {
            reservation: Reservation::new(variants.reservation),
            lines: OrderLines::new(variants.order_lines),
            history: OrderHistory::new(variants.order_history),
            checkout: Checkout::new(variants, settings, &payments)?,
            events: Events::new(variants.events, &settings.orders, &settings.database)?,
            payments,
            cursors: CursorKeys::new(&settings.jwt_secrets),
            tokens: OrderTokens::new(&settings.jwt_secrets),
            carrier: CarrierSignatures::new(&settings.orders.carrier_secret),
            sku_queue: SkuQueue::new(&settings.orders, stock_writers),
            settings: settings.orders.clone(),
        })
    }
}

/// Derives the token of a guest's order from the order's id, so that a resumed order whose response was lost returns
/// the same token, and no token is stored in plain text.
pub struct OrderTokens(DerivedKeys);

impl OrderTokens {
    fn new(keyring: &Keyring) -> Self {
        Self(keyring.derive("order token"))
    }

    /// The token of a new order.
    pub fn derive(&self, order: Uuid) -> OpaqueToken {
        OpaqueToken::from_bytes(self.0.sign(&[order.as_bytes()]))
    }

    /// The token of an existing order, verified against its stored hash, because keys may have been rotated since.
    /// `None` when its key has been removed.
    pub fn derive_again(&self, order: Uuid, hash: &TokenHash) -> Option<OpaqueToken> {
        self.0
            .sign_with_each(&[order.as_bytes()])
            .map(OpaqueToken::from_bytes)
            .find(|token| token.hash() == *hash)
    }
}

/// The orders' routes. The switch point of the lesson `stock`: each arm is a handler.
pub fn router(variants: &Variants) -> OpenApiRouter<AppState> {
    let place = match variants.stock {
        #[cfg(feature = "baselines")]
        Stock::ReadThenWrite => {
            OpenApiRouter::new().routes(routes!(place_order::read_then_write::place_order))
        }
        #[cfg(feature = "baselines")]
        Stock::RowLockThroughPayment => {
            OpenApiRouter::new().routes(routes!(place_order::row_lock_through_payment::place_order))
        }
        #[cfg(feature = "baselines")]
        Stock::RowLock => OpenApiRouter::new().routes(routes!(place_order::row_lock::place_order)),
        Stock::Conditional => OpenApiRouter::new().routes(routes!(place_order::conditional::place_order)),
    };
    OpenApiRouter::new()
        .merge(place)
        .routes(routes!(list_orders::list_orders))
        .routes(routes!(show_order::show_order))
        .routes(routes!(cancel_order::cancel_order))
        .routes(routes!(carrier_webhook::carrier_webhook))
}
