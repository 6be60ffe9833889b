//! When the work that follows a payment is done: the lesson `checkout`.
//!
//! That work is a confirmation email, a label for the parcel with the capture of the money, and the count of what was
//! sold. A paid order says so to everybody in either arm; an arm that does the work itself notes that in `inbox` with the
//! payment, and the worker leaves it alone. The payment itself stays in the request: a customer must learn at once that a
//! card was declined.

#[cfg(feature = "baselines")]
pub mod inline;
#[cfg(feature = "baselines")]
mod sales_counts;

pub mod queued;

use storefront::messages::Consumer;
use storefront::third_parties::payment::PaymentGateway;
use storefront::variants::{Checkout as Arm, Variants};

use super::order::Order;
use crate::http::timings::Timings;
use crate::settings::Settings;
use crate::state::{App, AssemblyError};

/// The arm of `checkout` that this process was built with.
pub enum Checkout {
    /// See [`inline`].
    #[cfg(feature = "baselines")]
    Inline(Box<inline::Inline>),
    /// See [`queued`].
    Queued,
}

impl Checkout {
    /// Builds the arm. Connects to nothing yet.
    ///
    /// # Errors
    /// When a setting of a third party can't be used.
    pub fn new(
        variants: &Variants,
        settings: &Settings,
        payments: &PaymentGateway,
    ) -> Result<Self, AssemblyError> {
        let _ = (settings, payments); // a build without baselines needs nothing of them
        Ok(match variants.checkout {
            #[cfg(feature = "baselines")]
            Arm::Inline => Self::Inline(Box::new(inline::Inline::new(variants, settings, payments)?)),
            Arm::Queued => Self::Queued,
        })
    }

    /// The worker's consumers whose work is done here.
    pub fn does_itself(&self) -> &'static [Consumer] {
        match self {
            #[cfg(feature = "baselines")]
            Self::Inline(_) => inline::DOES_ITSELF,
            Self::Queued => queued::DOES_ITSELF,
        }
    }

    /// Between the payment and the answer.
    pub async fn after_payment(&self, app: &App, timings: &Timings, order: &Order, payment_id: &str) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Inline(inline) => inline.after_payment(app, timings, order, payment_id).await,
            Self::Queued => {
                let _ = (app, timings, order, payment_id); // the event is on its way
            }
        }
    }
}
