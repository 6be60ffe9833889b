//! Confirms a paid order by email, and writes `confirmation_sent` into its timeline. Nobody is thanked for an order that
//! was cancelled before its message came.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use storefront::emails::{Confirmation, ConfirmationLine};
use storefront::messages::Consumer;
use storefront::money::{Currency, Money};
use storefront::postgres::MeasuredPool;
use uuid::Uuid;

use super::inbox::{self, Mail};
use super::{Done, Fault, Tools};
use crate::batch::Batcher;

const CONSUMER: Consumer = Consumer::ConfirmationEmail;

/// What was bought, a row a line.
type OrderRows = Vec<Row>;

/// Reads orders, many at a time.
pub type Orders = Batcher<Uuid, OrderRows>;

/// See [`Orders`].
pub(super) fn orders(pool: &MeasuredPool, most: usize) -> Orders {
    let pool = pool.clone();
    Batcher::new(most, move |orders: Arc<[Uuid]>| {
        let pool = pool.clone();
        async move { read(&pool, &orders).await }
    })
}

/// Sends the confirmation, once.
pub(super) async fn send(tools: &Tools, message_id: Uuid, order_id: Uuid) -> Result<Done, Fault> {
    let write = async {
        let rows = tools.confirmed_orders.call(order_id).await?;
        let written = written(order_id, &rows)?;
        Ok(written.map(|(to, confirmation)| Mail {
            to,
            cause: format!("{message_id}.confirmation"),
            email: confirmation.email(),
        }))
    };
    inbox::once(tools, CONSUMER, message_id, Some(order_id), write).await
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

async fn read(pool: &MeasuredPool, orders: &[Uuid]) -> Result<Vec<OrderRows>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select o.id, o.status, o.number, o.email, o.currency::text as "currency!", o.subtotal_cents, o.discount_cents,
               o.shipping_cents, o.total_cents, o.shipping_address as "shipping_address: Value",
               l.title, l.variant_title, l.quantity, l.unit_price_cents
        from orders o
        join order_lines l on l.order_id = o.id
        where o.id = any($1)
        order by l.order_id, l.position
        "#,
        orders
    )
    .fetch_all(pool)
    .await?;
    let mut found: HashMap<Uuid, OrderRows> = HashMap::with_capacity(orders.len());
    for row in rows {
        found.entry(row.id).or_default().push(row);
    }
    Ok(orders
        .iter()
        .map(|order| found.get(order).cloned().unwrap_or_default())
        .collect())
}

/// What is written, and to whom. Nothing, of an order that was cancelled.
fn written(order_id: Uuid, rows: &[Row]) -> Result<Option<(String, Confirmation)>, Fault> {
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
