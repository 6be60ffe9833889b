//! Orders: from a cart to a parcel. Read first `place_order.rs`, which has the steps.
//!
//! The folders `reserve_stock`, `reservation`, `order_lines`, `history`, `checkout` and `events` are components with lessons.

pub mod place_order;

pub mod cancel_order;
pub mod carrier_webhook;
pub mod list_orders;
pub mod show_order;

pub mod order;
pub mod order_request;
pub mod order_tokens;

pub mod basket;
pub mod draft;
pub mod holdings;

pub mod reservation;
pub mod reserve_stock;

pub mod after_commit;
pub mod payment;
pub mod response;
pub mod void;

pub mod idempotency;
pub mod sku_queue;

pub mod checkout;
pub mod events;
pub mod history;
pub mod order_lines;

use std::sync::Arc;

use shop::third_parties::payment::PaymentGateway;
use techniques::Selection;

use self::carrier_webhook::CarrierSignatures;
use self::checkout::Checkout;
use self::events::Events;
use self::history::OrderHistory;
use self::order_lines::OrderLines;
use self::order_tokens::OrderTokens;
use self::reservation::Reservation;
use self::reserve_stock::StockReservation;
use self::sku_queue::SkuQueue;
use crate::build_error::BuildAppError;
use crate::database::{Database, stock_writers};
use crate::settings::{OrderSettings, Settings};
use crate::web::cursor::CursorKeys;

/// What the orders' handlers use, each component built as its arm.
pub struct Orders {
    pub database: Arc<Database>,
    pub reservation: Reservation,
    pub stock: StockReservation,
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
    pub fn new(
        selection: &Selection,
        database: Arc<Database>,
        settings: &Settings,
    ) -> Result<Self, BuildAppError> {
        settings.orders.check()?;
        let payments = PaymentGateway::new(&settings.orders.payment)?;
        let reservation = selection.reservation;
        // The single statement has the optimized arms of these lessons inside.
        #[cfg(feature = "baselines")]
        let reservation = match (selection.stock, selection.order_lines) {
            (techniques::Stock::Conditional, techniques::OrderLines::OneStatement) => reservation,
            _ => techniques::Reservation::MultiStatement,
        };
        let stock_writers = stock_writers(&settings.database, &settings.bulkheads);
        Ok(Self {
            database,
            reservation: Reservation::select(reservation),
            stock: StockReservation::select(selection.stock),
            lines: OrderLines::select(selection.order_lines),
            history: OrderHistory::select(selection.order_history),
            checkout: Checkout::select(selection.checkout, selection.sales_counts, settings, &payments)?,
            events: Events::select(selection.events, &settings.database, &settings.orders)?,
            payments,
            cursors: CursorKeys::new(&settings.jwt_secrets),
            tokens: OrderTokens::new(&settings.jwt_secrets),
            carrier: CarrierSignatures::new(&settings.orders.carrier_secret),
            sku_queue: SkuQueue::new(&settings.orders, stock_writers),
            settings: settings.orders.clone(),
        })
    }
}
