//! Confirms a paid order by email, and writes `confirmation_sent` into its timeline. Nobody is thanked for an order that
//! was cancelled before its message came.

use serde_json::Value;
use storefront::emails::{Confirmation, Line};
use storefront::messages::Consumer;
use storefront::money::{Currency, Money};
use storefront::postgres::MeasuredPool;
use uuid::Uuid;

use super::inbox::{self, Mail};
use super::{Done, Fault, Tools};

const CONSUMER: Consumer = Consumer::ConfirmationEmail;

/// Sends the confirmation, once.
pub(super) async fn send(tools: &Tools, message_id: Uuid, order_id: Uuid) -> Result<Done, Fault> {
    let write = async {
        let read = read(&tools.pool, order_id).await?;
        Ok(read.map(|(to, confirmation)| Mail {
            to,
            cause: format!("{message_id}.confirmation"),
            email: confirmation.email(),
        }))
    };
    inbox::once(tools, CONSUMER, message_id, Some(order_id), write).await
}

/// What was bought, and who gets told. Nobody, of an order that was cancelled.
async fn read(pool: &MeasuredPool, order_id: Uuid) -> Result<Option<(String, Confirmation)>, Fault> {
    let rows = sqlx::query!(
        r#"
        select o.status, o.number, o.email, o.currency::text as "currency!", o.subtotal_cents, o.discount_cents, o.shipping_cents,
               o.total_cents, o.shipping_address as "shipping_address: Value",
               l.title, l.variant_title, l.quantity, l.unit_price_cents
        from orders o
        join order_lines l on l.order_id = o.id
        where o.id = $1
        order by l.position
        "#,
        order_id
    )
    .fetch_all(pool)
    .await?;
    let unusable = |what: String| Fault::Never(format!("order {order_id} {what}"));
    let first = rows.first().ok_or_else(|| unusable("doesn't exist".to_owned()))?;
    if first.status == "cancelled" {
        return Ok(None);
    }
    let currency: Currency = first
        .currency
        .parse()
        .map_err(|error| unusable(format!("can't be priced: {error}")))?;
    let address = serde_json::from_value(first.shipping_address.clone())
        .map_err(|error| unusable(format!("has no usable address: {error}")))?;
    let money = |amount| Money { amount, currency };
    let confirmation = Confirmation {
        number: first.number,
        lines: rows
            .iter()
            .map(|row| Line {
                title: row.title.clone(),
                variant_title: row.variant_title.clone(),
                quantity: row.quantity,
                total: money(row.unit_price_cents * i64::from(row.quantity)),
            })
            .collect(),
        subtotal: money(first.subtotal_cents),
        discount: money(first.discount_cents),
        shipping: money(first.shipping_cents),
        total: money(first.total_cents),
        address,
    };
    Ok(Some((first.email.clone(), confirmation)))
}
