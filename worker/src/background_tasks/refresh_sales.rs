//! Moves the counts in `product_sales` to `products.sales_count`, the column that lists sort by.
//!
//! A round visits each product sold since the last round, a bounded number per transaction. It skips locked
//! rows (those of products that are being counted or sold out at the moment) and leaves them to the next
//! round. It never waits for a lock, so it can't be part of a deadlock. The units sold of a product are the
//! sum of both columns at any time, because both change in one transaction.

use std::time::Duration;

use uuid::Uuid;

use super::{BackgroundTasks, count};
use crate::components::{HealthRegistry, ShutdownToken, supervise};
use crate::metrics;

/// The component's name in the readiness response.
const TASK: &str = "refresh sales";

/// Transactions per round: 100,000 products with the default of 100 products each. The next round continues
/// where this one ended.
const MAX_TRANSACTIONS: usize = 1000;

impl BackgroundTasks {
    /// Refreshes sales counts until shutdown.
    pub(super) async fn run_sales_refresh(&self, health: &HealthRegistry, shutdown: &ShutdownToken) {
        let run = || async {
            let mut after = Uuid::nil();
            while !shutdown.is_cancelled() {
                after = self
                    .refresh_sales(after, shutdown)
                    .await
                    .inspect_err(|_| metrics::task_failed(TASK))?;
                health.mark_healthy(TASK);
                shutdown.sleep(self.settings.sales_refresh_interval).await;
            }
            Ok::<(), sqlx::Error>(())
        };
        supervise(TASK, health, shutdown, run).await;
    }

    /// One round (keyset pagination), starting after a product. Returns the product after which the next
    /// round starts.
    async fn refresh_sales(&self, after: Uuid, shutdown: &ShutdownToken) -> Result<Uuid, sqlx::Error> {
        let refreshed = self.refresh_batches(after, shutdown).await;
        // Also after a failure, and when more is left than a round may do: then the ranking is oldest.
        let recorded = self.record_age().await;
        let after = refreshed?;
        recorded?;
        Ok(after)
    }

    async fn refresh_batches(&self, mut after: Uuid, shutdown: &ShutdownToken) -> Result<Uuid, sqlx::Error> {
        for _ in 0..MAX_TRANSACTIONS {
            if shutdown.is_cancelled() {
                return Ok(after);
            }
            match self.refresh_batch(after).await? {
                Some(last) => after = last,
                None => return Ok(Uuid::nil()),
            }
        }
        Ok(after)
    }

    /// Refreshes the products that follow `after`. Returns the last of them, or `None` after the last batch.
    async fn refresh_batch(&self, after: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
        let limit = i64::from(self.settings.sales_refresh_products);
        let mut connection = self.pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        let counted = sqlx::query_scalar!(
            "select product_id from product_sales where product_id > $1
             order by product_id limit $2 for update skip locked",
            after,
            limit
        )
        .fetch_all(&mut *transaction)
        .await?;
        let Some(last) = counted.last().copied() else {
            return Ok(None);
        };
        // Locking and updating are separate statements, because a single one would wait for
        // rows that changed meanwhile.
        let free = sqlx::query_scalar!(
            "select id from products where id = any($1) order by id for no key update skip locked",
            &counted
        )
        .fetch_all(&mut *transaction)
        .await?;
        // A count below zero means that a cancellation overtook its sale. It stays until the sale is counted.
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
        Ok((counted.len() as i64 == limit).then_some(last))
    }

    /// Records the age of the oldest sale that the ranking doesn't count yet.
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
