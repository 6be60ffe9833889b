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

use super::order::Order;
use crate::build_error::BuildAppError;
use crate::orders::Orders;
use crate::settings::Settings;
use crate::web::timings::Timings;

techniques::component! {
    /// The side work of a paid order.
    pub Checkout: techniques::Checkout {
        baseline Inline = inline::Inline,
        optimized Queued = queued::Queued,
    }
    pub select(sales_counts: techniques::SalesCounts, settings: &Settings, payments: &PaymentGateway) -> Result<Self, BuildAppError>;

    /// The worker's consumers whose work this arm does itself.
    pub fn handled_in_request(&self) -> &'static [Consumer];

    /// Runs between the payment and the response.
    pub async fn after_payment(&self, orders: &Orders, timings: &Timings, order: &Order, payment_id: &str);
}
