//! Orders: from a cart to a parcel. Read first `place_order/mod.rs`, which has the order's way on one page.
//!
//! The folders `order_lines`, `history`, `checkout` and `events` are components with lessons; `place_order` has one at
//! its handler.

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
use self::sku_queue::SkuQueue;
use crate::database::stock_writers;
use crate::http::cursor::CursorKeys;
use crate::opaque_token::{OpaqueToken, TokenHash};
use crate::settings::{OrderSettings, Settings};
use crate::state::{AppState, AssemblyError};

/// What the orders' handlers need, each component built as its arm.
pub struct Orders {
    /// How lines are written.
    pub lines: OrderLines,
    /// How the lines of a page of orders are read.
    pub history: OrderHistory,
    /// When the work that follows a payment is done.
    pub checkout: Checkout,
    /// How others hear of it.
    pub events: Events,
    /// Where the money is.
    pub payments: PaymentGateway,
    /// Signs where a page ended.
    pub cursors: CursorKeys,
    /// Makes the tokens of guests' orders.
    pub tokens: OrderTokens,
    /// Tells the carrier's callbacks from others'.
    pub carrier: CarrierSignatures,
    /// Who may work on a SKU's stock.
    pub sku_queue: SkuQueue,
    /// Bounds.
    pub settings: OrderSettings,
}

impl Orders {
    /// Builds each component as the arm that the variants name. Connects to nothing yet.
    ///
    /// # Errors
    /// When a setting can't be used.
    pub fn new(variants: &Variants, settings: &Settings) -> Result<Self, AssemblyError> {
        settings.orders.check()?;
        let payments = PaymentGateway::new(&settings.orders.payment)?;
        let stock_writers = stock_writers(&settings.database, &settings.bulkheads);
        Ok(Self {
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

/// Makes the token that opens a guest's order. It is derived from the order's id, so that an order that is resumed
/// after its answer was lost gives the token again, and nobody keeps it in plain.
pub struct OrderTokens(DerivedKeys);

impl OrderTokens {
    fn new(keyring: &Keyring) -> Self {
        Self(keyring.derive("order token"))
    }

    /// The token of a new order.
    pub fn of(&self, order: Uuid) -> OpaqueToken {
        OpaqueToken::from_bytes(self.0.sign(&[order.as_bytes()]))
    }

    /// The token that an order was made with, of which it keeps the hash: keys may have been rotated since. `None` when
    /// its key is no longer among them.
    pub fn again(&self, order: Uuid, hash: &TokenHash) -> Option<OpaqueToken> {
        self.0
            .sign_with_each(&[order.as_bytes()])
            .map(OpaqueToken::from_bytes)
            .find(|token| token.hash() == *hash)
    }
}

/// The orders' routes. `stock` is told apart here: an arm is a handler of its own.
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
