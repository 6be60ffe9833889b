//! What is locked meanwhile, by samples of `pg_locks`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::costs::LAB_MARK;

/// The resolution of the times.
const INTERVAL: Duration = Duration::from_millis(10);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) longest_wait: Duration,
    pub(super) longest_hold: Duration,
    pub(super) longest_held: String,
}

/// Samples until it is stopped.
#[derive(Debug)]
pub(super) struct Sampler {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Seen>>,
}

impl Sampler {
    pub(super) async fn start(database_url: &str) -> Result<Sampler> {
        let mut connection = PgConnection::connect(database_url).await?;
        let tables: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(format!(
            "select oid::bigint from pg_class where relkind in ('r', 'p') and relnamespace = current_schema()::regnamespace \
             {LAB_MARK}"
        )))
        .fetch_all(&mut connection)
        .await?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(sample(connection, tables, stopped));
        Ok(Sampler { stop, task })
    }

    pub(super) async fn stop(self) -> Result<Seen> {
        // It may have ended with an error, which comes next.
        let _ = self.stop.send(());
        self.task.await.context("the sampler of locks has failed")?
    }
}

async fn sample(
    mut connection: PgConnection,
    tables: Vec<i64>,
    mut stopped: oneshot::Receiver<()>,
) -> Result<Seen> {
    // Weaker modes than these conflict with no reader and no writer. What the migration itself waits for harms by those who
    // wait behind it, who are counted.
    let waits = format!(
        "select coalesce(max(extract(epoch from clock_timestamp() - l.waitstart)), 0)::float8
         from pg_locks l join pg_stat_activity a using (pid)
         where not l.granted and a.datname = current_database() and a.application_name <> 'backstock-api'
           and a.backend_type = 'client backend' {LAB_MARK}"
    );
    let holds = format!(
        "select l.pid, l.virtualtransaction, l.relation::bigint, l.mode, l.relation::regclass::text
         from pg_locks l join pg_stat_activity a using (pid)
         where l.granted and l.locktype = 'relation' and a.datname = current_database()
           and a.application_name = 'backstock-api'
           and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
           and l.relation::bigint = any($1) {LAB_MARK}"
    );
    let mut seen = Seen::default();
    let mut held: HashMap<(i32, String, i64, String), Instant> = HashMap::new();
    loop {
        let waited: f64 = sqlx::query_scalar(AssertSqlSafe(waits.clone()))
            .fetch_one(&mut connection)
            .await?;
        seen.longest_wait = seen.longest_wait.max(Duration::from_secs_f64(waited.max(0.0)));
        let now = Instant::now();
        let holding: Vec<(i32, String, i64, String, String)> = sqlx::query_as(AssertSqlSafe(holds.clone()))
            .bind(&tables)
            .fetch_all(&mut connection)
            .await?;
        let mut still = HashMap::new();
        for (pid, transaction, relation, mode, name) in holding {
            let what = format!("{name} ({mode})");
            let key = (pid, transaction, relation, mode);
            let since = held.get(&key).copied().unwrap_or(now);
            if now - since > seen.longest_hold {
                seen.longest_hold = now - since;
                seen.longest_held = what;
            }
            still.insert(key, since);
        }
        held = still;
        tokio::select! {
            _ = &mut stopped => return Ok(seen),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
