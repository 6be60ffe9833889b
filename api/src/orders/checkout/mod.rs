//! When the side work of a paid order is done: the lesson `checkout`.
//!
//! The side work is the confirmation email, the parcel's label with the capture of the payment, and the sales count.
//! Both arms publish the event `order.paid`; an arm that does the work itself records that in `inbox` together with
//! the payment, so that the worker's consumers skip it. The authorization stays in the request: a customer must learn
//! at once that a card was declined.

#[cfg(feature = "baselines")]
pub mod inline;
#[cfg(feature = "baselines")]
mod sales_counts;

pub mod queued;

use shop::messages::Consumer;
use shop::third_parties::payment::PaymentGateway;
use techniques::{Checkout as Arm, Selection};

use super::order::Order;
use crate::build_error::BuildAppError;
use crate::orders::Orders;
use crate::settings::Settings;
use crate::web::timings::Timings;

/// The arm of `checkout` that this process was built with.
pub enum Checkout {
    /// See [`inline`].
    #[cfg(feature = "baselines")]
    Inline(Box<inline::Inline>),
    /// See [`queued`].
    Queued,
}

impl Checkout {
    /// Builds the arm, without connecting to anything.
    ///
    /// # Errors
    /// When a setting of a third party can't be used.
    pub fn new(
        selection: &Selection,
        settings: &Settings,
        payments: &PaymentGateway,
    ) -> Result<Self, BuildAppError> {
        let _ = (settings, payments); // unused without baselines
        Ok(match selection.checkout {
            #[cfg(feature = "baselines")]
            Arm::Inline => Self::Inline(Box::new(inline::Inline::new(selection, settings, payments)?)),
            Arm::Queued => Self::Queued,
        })
    }

    /// The worker's consumers whose work this arm does itself.
    pub fn handled_in_request(&self) -> &'static [Consumer] {
        match self {
            #[cfg(feature = "baselines")]
            Self::Inline(_) => inline::HANDLED_IN_REQUEST,
            Self::Queued => queued::HANDLED_IN_REQUEST,
        }
    }

    /// Runs between the payment and the response.
    pub async fn after_payment(&self, orders: &Orders, timings: &Timings, order: &Order, payment_id: &str) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Inline(inline) => inline.after_payment(orders, timings, order, payment_id).await,
            Self::Queued => {
                let _ = (orders, timings, order, payment_id); // the worker handles the event
            }
        }
    }
}
