//! Has the label of a paid order's parcel made, takes the money that was held for it, and notes both.
//!
//! 1. `shipping_started_at` is set on the paid order. From here on it can't be cancelled, so that no money is taken for
//!    an order that is given back at the same time.
//! 2. The carrier makes the label, the gateway captures. Both know the order's id, or its payment's, as a key: asked
//!    again after a crash, they answer as the first time, and one parcel is sent and paid for once. So nothing is
//!    claimed, and two workers with the same message do no harm.
//! 3. One statement writes inbox, shipment, status and timeline.

use serde_json::Value;
use storefront::messages::Consumer;
use storefront::telemetry::order_reached;
use storefront::third_parties::carrier::{Label, Labelled, Parcel};
use storefront::third_parties::payment::Changed;
use uuid::Uuid;

use super::{Done, Fault, Tools};

const CONSUMER: Consumer = Consumer::ShippingLabel;

struct Order {
    payment_id: Option<String>,
    shipping_method: String,
    shipping_address: Value,
}

/// Ships an order, once.
pub(super) async fn ship(tools: &Tools, message_id: Uuid, order_id: Uuid) -> Result<Done, Fault> {
    let Some(order) = begin(tools, message_id, order_id).await? else {
        return skip(tools, message_id, order_id).await;
    };
    let parcel = Parcel {
        order: order_id,
        service: &order.shipping_method,
        address: &order.shipping_address,
    };
    let label = match tools.carrier.create_label(parcel).await {
        Labelled::Made(label) => label,
        Labelled::Refused { reason } => {
            let_go(tools, order_id).await?;
            return Err(Fault::Never(reason));
        }
        Labelled::Unknown { why } => return Err(Fault::Later(why)),
    };
    // An order that costs nothing has no payment.
    if let Some(payment_id) = &order.payment_id {
        match tools.payments.capture(payment_id).await {
            Changed::Done => {}
            Changed::Refused => {
                let_go(tools, order_id).await?;
                return Err(Fault::Never(format!(
                    "the gateway refuses to capture payment {payment_id}; label {} is made, and nobody may send its parcel",
                    label.id
                )));
            }
            Changed::Unknown => {
                return Err(Fault::Later(format!(
                    "nobody knows whether payment {payment_id} was captured"
                )));
            }
        }
    }
    finish(tools, message_id, order_id, &label).await
}

async fn begin(tools: &Tools, message_id: Uuid, order_id: Uuid) -> Result<Option<Order>, sqlx::Error> {
    sqlx::query_as!(
        Order,
        r#"
        update orders
        set shipping_started_at = coalesce(shipping_started_at, now())
        where id = $1
          and status = 'paid'
          and not exists (select from inbox where message_id = $2 and consumer = $3)
        returning payment_id, shipping_method, shipping_address as "shipping_address: Value"
        "#,
        order_id,
        message_id,
        CONSUMER.as_str()
    )
    .fetch_optional(&tools.pool)
    .await
}

/// There will be no parcel: the carrier makes no label, or nobody pays. A person decides, and may cancel the order.
async fn let_go(tools: &Tools, order_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update orders set shipping_started_at = null where id = $1 and status = 'paid'",
        order_id
    )
    .execute(&tools.pool)
    .await?;
    Ok(())
}

/// There is nothing to ship: it was done, or is done by the process that wrote the inbox, or the order was cancelled.
async fn skip(tools: &Tools, message_id: Uuid, order_id: Uuid) -> Result<Done, Fault> {
    let order = sqlx::query!(
        r#"
        select status,
               exists (select from inbox where message_id = $2 and consumer = $3) as "is_noted!"
        from orders
        where id = $1
        "#,
        order_id,
        message_id,
        CONSUMER.as_str()
    )
    .fetch_optional(&tools.pool)
    .await?
    .ok_or_else(|| Fault::Never(format!("order {order_id} doesn't exist")))?;
    if order.is_noted {
        return Ok(Done::Before);
    }
    // The message came before the payment's transaction, or at the same moment.
    if matches!(order.status.as_str(), "pending_payment" | "paid") {
        return Err(Fault::Later(format!("order {order_id} isn't paid yet")));
    }
    sqlx::query!(
        "insert into inbox (message_id, consumer) values ($1, $2) on conflict do nothing",
        message_id,
        CONSUMER.as_str()
    )
    .execute(&tools.pool)
    .await?;
    Ok(Done::Before)
}

async fn finish(tools: &Tools, message_id: Uuid, order_id: Uuid, label: &Label) -> Result<Done, Fault> {
    let [label_created, fulfilled] = [Uuid::now_v7(), Uuid::now_v7()];
    let is_first = sqlx::query_scalar!(
        r#"
        with first as (
            insert into inbox (message_id, consumer) values ($1, $2)
            on conflict do nothing
            returning true
        ), fulfilled as (
            update orders
            set status = 'fulfilled', updated_at = now()
            from first
            where id = $3 and status = 'paid'
            returning id
        ), shipped as (
            insert into shipments (order_id, carrier_label, tracking_number)
            select id, $4, $5 from fulfilled
            on conflict (order_id) do nothing
        ), told as (
            insert into order_events (order_id, id, event)
            select id, $6::uuid, 'label_created' from fulfilled
            union all
            select id, $7::uuid, 'fulfilled' from fulfilled
        )
        select exists (select from fulfilled) as "is_first!"
        "#,
        message_id,
        CONSUMER.as_str(),
        order_id,
        label.id,
        label.tracking_number,
        label_created,
        fulfilled
    )
    .fetch_one(&tools.pool)
    .await?;
    if is_first {
        order_reached("fulfilled");
    }
    Ok(if is_first { Done::Now } else { Done::Before })
}
