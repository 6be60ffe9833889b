//! **Technique**: data-modifying statements in `with`: order, lines and stock are one statement, and so one transaction
//! and one round trip. It fails, and writes nothing, when what it relies on no longer holds.
//! **Cost**: a long statement that has to be read as a whole. Each conflict is an error in Postgres' log.
//! **Fails when**: a step depends on an answer that only the client can judge. An order with a coupon, with many lines,
//! with the last unit of a SKU, that has waited since it was priced, or whose first attempt failed is reserved in a
//! transaction of several statements.
//! **Source**: <https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING>.

use shop::orders::{MAX_LINES_AT_ONCE, NewLines, reserve_at_once};
use uuid::Uuid;

use super::{new_order, reserve_in_transaction};
use crate::database::InstrumentedConnection;
use crate::orders::Orders;
use crate::orders::basket::BasketItem;
use crate::orders::draft::{OrderDraft, ReserveError};
use crate::orders::idempotency::RequestKey;

/// Reserves most orders with a single statement.
#[derive(Debug, Clone, Copy)]
pub struct SingleStatement;

impl SingleStatement {
    pub(in crate::orders) async fn reserve(
        self,
        orders: &Orders,
        connection: &mut InstrumentedConnection<'_>,
        key: &RequestKey,
        draft: &mut OrderDraft,
    ) -> Result<(), ReserveError> {
        let valid_for = orders
            .settings
            .price_validity
            .checked_sub(draft.priced_at.elapsed());
        let is_possible = draft.is_first_attempt
            && draft.order.coupon.is_none()
            && draft.items.iter().all(|item| item.stock_quantity > item.quantity)
            && draft.items.len() <= MAX_LINES_AT_ONCE;
        let Some(valid_for) = valid_for.filter(|_| is_possible) else {
            return reserve_in_transaction(orders, connection, key, draft).await;
        };
        let items = &draft.items;
        let texts =
            |text: fn(&BasketItem) -> &String| -> Vec<String> { items.iter().map(text).cloned().collect() };
        let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
        let products: Vec<Uuid> = items.iter().map(|item| item.product_id).collect();
        let quantities: Vec<i32> = items.iter().map(|item| item.quantity).collect();
        let unit_prices_cents: Vec<i64> = items.iter().map(|item| item.unit_price_cents).collect();
        let lines = NewLines {
            variants: &variants,
            products: &products,
            quantities: &quantities,
            unit_prices_cents: &unit_prices_cents,
            skus: &texts(|item| &item.sku),
            titles: &texts(|item| &item.title),
            variant_titles: &texts(|item| &item.variant_title),
        };
        let number = reserve_at_once(connection, &new_order(orders, key, draft), lines, valid_for).await?;
        draft.order.number = number.ok_or(ReserveError::Retry)?;
        Ok(())
    }
}
