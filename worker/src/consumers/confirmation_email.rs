//! Confirms a paid order by email, and writes `confirmation_sent` into its timeline. No confirmation is sent
//! for an order that was cancelled before its message arrived.

use std::collections::HashMap;
use std::sync::Arc;

use platform::postgres::InstrumentedPool;
use serde_json::Value;
use shop::emails::{Confirmation, ConfirmationLine};
use shop::messages::Consumer;
use shop::money::{Currency, Money};
use uuid::Uuid;

use super::inbox::{self, OutgoingEmail};
use super::{ConsumerContext, HandlerError, HandlerOutcome};
use crate::batch::Batcher;

const CONSUMER: Consumer = Consumer::ConfirmationEmail;

/// An order with its lines, one row per line.
type OrderRows = Vec<Row>;

/// Batches the reads of orders.
pub type OrderReader = Batcher<Uuid, OrderRows>;

/// Up to `max_batch` orders share a statement.
pub(super) fn order_reader(pool: &InstrumentedPool, max_batch: usize) -> OrderReader {
    let pool = pool.clone();
    Batcher::new(max_batch, move |orders: Arc<[Uuid]>| {
        let pool = pool.clone();
        async move { read_orders(&pool, &orders).await }
    })
}

/// Sends the confirmation of an order, once.
pub(super) async fn send(
    context: &ConsumerContext,
    message_id: Uuid,
    order_id: Uuid,
) -> Result<HandlerOutcome, HandlerError> {
    let compose = async {
        let rows = context.confirmed_orders.call(order_id).await?;
        let composed = compose_confirmation(order_id, &rows)?;
        Ok(composed.map(|(to, confirmation)| OutgoingEmail {
            to,
            cause: format!("{message_id}.confirmation"),
            email: confirmation.email(),
        }))
    };
    inbox::send_once(context, CONSUMER, message_id, Some(order_id), compose).await
}

#[derive(Debug, Clone)]
pub struct Row {
    id: Uuid,
    status: String,
    number: i64,
    email: String,
    currency: String,
    subtotal_cents: i64,
    discount_cents: i64,
    shipping_cents: i64,
    total_cents: i64,
    shipping_address: Value,
    title: String,
    variant_title: String,
    quantity: i32,
    unit_price_cents: i64,
}

async fn read_orders(pool: &InstrumentedPool, orders: &[Uuid]) -> Result<Vec<OrderRows>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select o.id, o.status, o.number, o.email, o.currency::text as "currency!", o.subtotal_cents, o.discount_cents,
               o.shipping_cents, o.total_cents, o.shipping_address as "shipping_address: Value",
               l.title, l.variant_title, l.quantity, l.unit_price_cents
        from orders o
        join order_lines l on l.order_id = o.id
        -- Hidden from the planner, which would see how short the array is, and plan this again for each batch.
        where o.id = any((select $1::uuid[])::uuid[])
        order by l.order_id, l.position
        "#,
        orders
    )
    .fetch_all(pool)
    .await?;
    let mut rows_by_order: HashMap<Uuid, OrderRows> = HashMap::with_capacity(orders.len());
    for row in rows {
        rows_by_order.entry(row.id).or_default().push(row);
    }
    Ok(orders
        .iter()
        .map(|order| rows_by_order.get(order).cloned().unwrap_or_default())
        .collect())
}

/// The recipient and the confirmation. `None` for a cancelled order.
fn compose_confirmation(
    order_id: Uuid,
    rows: &[Row],
) -> Result<Option<(String, Confirmation)>, HandlerError> {
    let unusable = |problem: String| HandlerError::Permanent(format!("order {order_id} {problem}"));
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
            .map(|row| ConfirmationLine {
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
