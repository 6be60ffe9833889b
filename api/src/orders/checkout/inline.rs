//! **Technique**: all side work in the request, sequentially: email, label, capture, sales count.
//! **Cost**: the customer waits for the sum of all third parties' latencies.
//! **Fails when**: a third party is slow: so is every order. If one fails, or the process dies half-way, the rest is
//! never done, because nothing retries it; there is only a line in the log.
//! **Source**: <https://www.enterpriseintegrationpatterns.com/patterns/messaging/EncapsulatedSynchronousIntegration.html>

use shop::emails::{Confirmation, ConfirmationLine};
use shop::messages::Consumer;
use shop::orders::order_reached;
use shop::third_parties::carrier::{Carrier, LabelOutcome, Parcel};
use shop::third_parties::mail::Mailer;
use shop::third_parties::payment::{ChangeOutcome, PaymentGateway};

use uuid::Uuid;

use super::sales_counts::SalesCounts;
use crate::build_error::BuildAppError;
use crate::orders::Orders;
use crate::orders::order::Order;
use crate::settings::Settings;
use crate::web::timings::Timings;

/// The arm `checkout=inline`.
pub struct Inline {
    mailer: Mailer,
    carrier: Carrier,
    payments: PaymentGateway,
    sales_counts: SalesCounts,
}

impl Inline {
    pub(super) fn new(
        sales_counts: techniques::SalesCounts,
        settings: &Settings,
        payments: &PaymentGateway,
    ) -> Result<Self, BuildAppError> {
        Ok(Self {
            mailer: Mailer::new(&settings.mail)?,
            carrier: Carrier::new(&settings.orders.carrier)?,
            payments: payments.clone(),
            sales_counts: SalesCounts::select(sales_counts),
        })
    }

    pub(super) fn handled_in_request(&self) -> &'static [Consumer] {
        &[
            Consumer::ConfirmationEmail,
            Consumer::ShippingLabel,
            Consumer::Popularity,
        ]
    }

    /// A failed step doesn't prevent the next.
    pub(super) async fn after_payment(
        &self,
        orders: &Orders,
        timings: &Timings,
        order: &Order,
        payment_id: &str,
    ) {
        if let Err(error) = self.confirm(orders, timings, order).await {
            tracing::error!(order = %order.id, %error, "the confirmation was not sent");
        }
        if let Err(error) = self.ship(orders, timings, order, payment_id).await {
            tracing::error!(order = %order.id, %error, "the parcel has no label");
        }
        if let Err(error) = self.count_sales(orders, timings, order.id).await {
            tracing::error!(order = %order.id, %error, "the sale was not counted");
        }
    }

    async fn count_sales(&self, orders: &Orders, timings: &Timings, order: Uuid) -> anyhow::Result<()> {
        let mut connection = orders.database.acquire(timings).await?;
        self.sales_counts.count(&mut connection, order).await?;
        Ok(())
    }

    async fn confirm(&self, orders: &Orders, timings: &Timings, order: &Order) -> anyhow::Result<()> {
        let line = |line: &crate::orders::order::OrderLine| ConfirmationLine {
            title: line.title.clone(),
            variant_title: line.variant_title.clone(),
            quantity: line.quantity,
            total: line.line_total,
        };
        let confirmation = Confirmation {
            number: order.number,
            lines: order.items.iter().map(line).collect(),
            subtotal: order.totals.subtotal,
            discount: order.totals.discount,
            shipping: order.totals.shipping,
            total: order.totals.total,
            address: serde_json::from_value(order.shipping_address.clone())?,
        };
        let cause = format!("confirmation-{}", order.id);
        self.mailer
            .send(&order.email, &cause, &confirmation.email())
            .await?;
        let mut connection = orders.database.acquire(timings).await?;
        let sent = sqlx::query!(
            "insert into order_events (order_id, id, event) values ($1, $2, 'confirmation_sent')",
            order.id,
            Uuid::now_v7()
        );
        sent.execute(&mut connection).await?;
        Ok(())
    }

    async fn ship(
        &self,
        orders: &Orders,
        timings: &Timings,
        order: &Order,
        payment_id: &str,
    ) -> anyhow::Result<()> {
        let mut connection = orders.database.acquire(timings).await?;
        let started = sqlx::query!(
            "update orders set shipping_started_at = now() where id = $1 and status = 'paid'",
            order.id
        );
        if started.execute(&mut connection).await?.rows_affected() == 0 {
            return Ok(()); // cancelled meanwhile
        }
        drop(connection);
        let parcel = Parcel {
            order: order.id,
            service: &order.shipping_method,
            address: &order.shipping_address,
        };
        let label = match self.carrier.create_label(parcel).await {
            LabelOutcome::Created(label) => label,
            LabelOutcome::Rejected { reason } => anyhow::bail!(reason),
            LabelOutcome::Unknown { why } => anyhow::bail!(why),
        };
        let captured = self.payments.capture(payment_id).await;
        anyhow::ensure!(
            captured == ChangeOutcome::Done,
            "the payment was not captured: {captured:?}"
        );
        let mut connection = orders.database.acquire(timings).await?;
        let fulfilled = sqlx::query!(
            "with fulfilled as (
                 update orders set status = 'fulfilled', updated_at = now() where id = $1 and status = 'paid'
                 returning id
             ), shipment as (
                 insert into shipments (order_id, carrier_label, tracking_number)
                 select id, $2, $3 from fulfilled
                 on conflict (order_id) do nothing
             )
             insert into order_events (order_id, id, event)
             select fulfilled.id, event.id, event.event
             from fulfilled, unnest(array[$4, $5]::uuid[], array['label_created', 'fulfilled']) as event (id, event)",
            order.id,
            label.id,
            label.tracking_number,
            Uuid::now_v7(),
            Uuid::now_v7()
        );
        if fulfilled.execute(&mut connection).await?.rows_affected() > 0 {
            order_reached("fulfilled");
        }
        Ok(())
    }
}
