//! Periodic tasks: reconcile payments of unknown outcome, void payments of cancelled and failed orders, move
//! sales counts to the column that lists sort by, and delete expired rows.
//!
//! Workers run them concurrently. Rows are claimed with `for update skip locked`. Where the gateway is
//! called, the claim is a lease: it moves the timestamp by which the row is found. So no transaction is open
//! during a third party's response, and another worker takes over when the lease of a dead one expires.
//!
//! One bad order never delays the others (no head-of-line blocking): an order whose attempt fails, at the
//! gateway or in the database, is postponed with exponential backoff, and the round continues (`backoff.rs`).
//! Read next: `reconcile_payments.rs`.

mod backoff;
mod cleanup;
mod reconcile_payments;
mod refresh_sales;
mod void_payments;

use platform::postgres::InstrumentedPool;
use shop::third_parties::payment::PaymentGateway;

pub use self::cleanup::task_names as cleanup_tasks;
use crate::components::{HealthRegistry, ShutdownToken, supervise};
use crate::metrics;
use crate::settings::BackgroundTaskSettings;

/// Orders claimed at a time. The gateway is called for one after the other, so that this task never competes
/// with customers.
const BATCH: i64 = 20;

/// The periodic tasks and their dependencies.
#[derive(Debug, Clone)]
pub struct BackgroundTasks {
    pub pool: InstrumentedPool,
    pub payments: PaymentGateway,
    pub settings: BackgroundTaskSettings,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// More rows may be due.
    More,
    /// Nothing is due, or the gateway is unavailable.
    Idle,
}

#[derive(Debug, Clone, Copy)]
enum PaymentTask {
    Reconcile,
    Void,
}

impl BackgroundTasks {
    /// Runs all tasks until shutdown.
    pub async fn run(self, health: HealthRegistry, shutdown: ShutdownToken) {
        let reconcile = self.supervise_payment_task(PaymentTask::Reconcile, &health, &shutdown);
        let void = self.supervise_payment_task(PaymentTask::Void, &health, &shutdown);
        let cleanup = self.run_cleanup(&health, &shutdown);
        let refresh_sales = self.run_sales_refresh(&health, &shutdown);
        tokio::join!(reconcile, void, cleanup, refresh_sales);
    }

    async fn supervise_payment_task(
        &self,
        task: PaymentTask,
        health: &HealthRegistry,
        shutdown: &ShutdownToken,
    ) {
        supervise(task.as_str(), health, shutdown, || {
            self.run_payment_task(task, health, shutdown)
        })
        .await;
    }

    async fn run_payment_task(
        &self,
        task: PaymentTask,
        health: &HealthRegistry,
        shutdown: &ShutdownToken,
    ) -> Result<(), sqlx::Error> {
        while !shutdown.is_cancelled() {
            let (ended, interval) = match task {
                PaymentTask::Reconcile => (
                    self.reconcile_round(shutdown).await?,
                    self.settings.settle_interval,
                ),
                PaymentTask::Void => (self.void_round(shutdown).await?, self.settings.settle_interval),
            };
            health.mark_healthy(task.as_str());
            if ended == Round::Idle {
                shutdown.sleep(interval).await;
            }
        }
        Ok(())
    }
}

impl PaymentTask {
    /// The component's name in the readiness response.
    const fn as_str(self) -> &'static str {
        match self {
            PaymentTask::Reconcile => "settle",
            PaymentTask::Void => "void",
        }
    }
}

fn count(task: &'static str, rows: u64) {
    if rows > 0 {
        metrics::rows_processed(task, rows);
    }
}
