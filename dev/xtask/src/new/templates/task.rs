//! Runs periodically. Say here what it does, and why several workers may do it concurrently.

use super::{BackgroundTasks, count};
use crate::components::{HealthRegistry, ShutdownToken, supervise};
use crate::metrics;

/// The task's name in the readiness response and in metrics.
const TASK: &str = "__name__";

/// Runs a round per interval until shutdown.
pub(super) async fn run(tasks: &BackgroundTasks, health: &HealthRegistry, shutdown: &ShutdownToken) {
    let rounds = || async {
        while !shutdown.is_cancelled() {
            let rows = round(tasks).await.inspect_err(|_| metrics::task_failed(TASK))?;
            count(TASK, rows);
            health.mark_healthy(TASK);
            shutdown.sleep(tasks.settings.__name___interval).await;
        }
        Ok::<(), sqlx::Error>(())
    };
    supervise(TASK, health, shutdown, rounds).await;
}

/// Returns how many rows it processed. The statement that does the work replaces this one, which reads a row without
/// columns. It needs a limit, and `for update skip locked`, because other workers run this task at the same time.
async fn round(tasks: &BackgroundTasks) -> Result<u64, sqlx::Error> {
    let processed = sqlx::query("select").execute(&tasks.pool).await?;
    Ok(processed.rows_affected())
}
