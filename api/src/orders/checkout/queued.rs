//! **Technique**: the request does none of it. The event `order.paid` reaches the worker, whose consumers do each
//! part separately and retry it on failure.
//! **Cost**: the email leaves shortly after the response; a broker and a worker have to be operated.
//! **Fails when**: the worker is down: orders stay `paid`, their messages wait in queues, and nothing is lost.
//! **Source**: <https://www.rabbitmq.com/docs/reliability>

use shop::messages::Consumer;
use shop::third_parties::payment::PaymentGateway;
use techniques::SalesCounts;

use crate::build_error::BuildAppError;
use crate::orders::Orders;
use crate::orders::order::Order;
use crate::settings::Settings;
use crate::web::timings::Timings;

/// The arm `checkout=queued`.
pub struct Queued;

impl Queued {
    /// Needs nothing.
    ///
    /// # Errors
    /// Never.
    pub fn new(
        _sales_counts: SalesCounts,
        _settings: &Settings,
        _payments: &PaymentGateway,
    ) -> Result<Self, BuildAppError> {
        Ok(Self)
    }

    /// None.
    pub fn handled_in_request(&self) -> &'static [Consumer] {
        &[]
    }

    /// Does nothing: the worker consumes the event.
    pub async fn after_payment(
        &self,
        _orders: &Orders,
        _timings: &Timings,
        _order: &Order,
        _payment_id: &str,
    ) {
    }
}
