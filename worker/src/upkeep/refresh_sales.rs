//! Moves what was counted in `product_sales` to `products.sales_count`, the column that lists sort by.
//!
//! A round visits each product that was sold since the last one, a bounded number in a transaction. It waits for no lock,
//! so it can't be part of a deadlock: what is locked now (counted at this moment, or sold out at this moment) is left for
//! the next round. What was sold of a product is the sum of the two columns at any moment, since both change in one
//! transaction.

use std::time::Duration;

use uuid::Uuid;

use super::{Upkeep, count};
use crate::metrics;
use crate::parts::{Parts, Stop, keep_alive};

/// The name under which health speaks of it.
const TASK: &str = "refresh sales";

/// Transactions of a round: 100,000 products with the default of products each. The next round begins where this one
/// ended.
const MOST_TRANSACTIONS: usize = 1000;

impl Upkeep {
    /// Refreshes until the signal comes.
    pub(super) async fn keep_refreshing_sales(&self, parts: &Parts, stop: &Stop) {
        let session = || async {
            let mut from = Uuid::nil();
            while !stop.is_given() {
                from = self
                    .refresh_sales(from, stop)
                    .await
                    .inspect_err(|_| metrics::task_failed(TASK))?;
                parts.works(TASK);
                stop.pause(self.settings.sales_refresh_interval).await;
            }
            Ok::<(), sqlx::Error>(())
        };
        keep_alive(TASK, parts, stop, session).await;
    }

    /// One round, from a product on. Returns where the next begins.
    async fn refresh_sales(&self, mut from: Uuid, stop: &Stop) -> Result<Uuid, sqlx::Error> {
        for _ in 0..MOST_TRANSACTIONS {
            if stop.is_given() {
                return Ok(from);
            }
            match self.refresh_some(from).await? {
                Some(last) => from = last,
                None => {
                    self.record_age().await?;
                    return Ok(Uuid::nil());
                }
            }
        }
        Ok(from)
    }

    /// The products after `after`. Returns the last of them, unless it was the last of all.
    async fn refresh_some(&self, after: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
        let most = i64::from(self.settings.sales_refresh_products);
        let mut session = self.pool.session().await?;
        let mut transaction = session.begin().await?;
        let counted = sqlx::query_scalar!(
            "select product_id from product_sales where product_id > $1
             order by product_id limit $2 for update skip locked",
            after,
            most
        )
        .fetch_all(&mut *transaction)
        .await?;
        let Some(last) = counted.last().copied() else {
            return Ok(None);
        };
        // Locked first, and updated by a statement of its own: one that does both waits for rows that changed meanwhile.
        let free = sqlx::query_scalar!(
            "select id from products where id = any($1) order by id for no key update skip locked",
            &counted
        )
        .fetch_all(&mut *transaction)
        .await?;
        // Below zero a product's count waits for the sale that a cancellation overtook.
        let refreshed = sqlx::query_scalar!(
            r#"
            with moved as (
                delete from product_sales s
                using products p
                where s.product_id = any($1) and p.id = s.product_id and p.sales_count + s.sold >= 0
                returning s.product_id, s.sold
            ), refreshed as (
                update products p
                set sales_count = p.sales_count + moved.sold
                from moved
                where p.id = moved.product_id and moved.sold <> 0
                returning true
            ), forgotten as (
                delete from product_sales s
                where s.product_id = any($2) and not exists (select from products p where p.id = s.product_id)
            )
            select count(*) as "refreshed!" from refreshed
            "#,
            &free,
            &counted
        )
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        count("sales_refreshed", refreshed.cast_unsigned());
        Ok((counted.len() as i64 == most).then_some(last))
    }

    /// How old a rank is at most.
    async fn record_age(&self) -> Result<(), sqlx::Error> {
        let age_s = sqlx::query_scalar!(
            r#"select coalesce(extract(epoch from clock_timestamp() - min(pending_since)), 0)::float8 as "age_s!"
               from product_sales where sold > 0"#
        )
        .fetch_one(&self.pool)
        .await?;
        metrics::sales_age(Duration::from_secs_f64(age_s.max(0.0)));
        Ok(())
    }
}
