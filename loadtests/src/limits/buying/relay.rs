//! How fast the relay empties a full outbox.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::AssertSqlSafe;

use crate::costs::LAB_MARK;
use crate::limits::LimitResult;
use crate::trials::Town;

const LEAST_PER_S: f64 = 3_000.0;

/// Events in the outbox: some seconds of work.
const EVENTS: i64 = 30_000;

/// The first events pay for connecting: the clock starts when so many are left.
const STARTED: i64 = EVENTS - 1_000;

const PATIENCE: Duration = Duration::from_secs(120);

/// How often the outbox is counted, which reads what is left of it.
const POLL: Duration = Duration::from_millis(50);

/// Events a second into the quorum queue of one consumer, with only the relay at work.
pub(super) async fn relay_rate(town: &mut Town) -> Result<LimitResult> {
    // An event that one consumer waits for, so that one queue takes each.
    sqlx::query(AssertSqlSafe(format!(
        "insert into outbox (message_id, event, body) \
         select id, 'customer.registered', jsonb_build_object('v', 1, 'customer_id', id) \
         from (select gen_random_uuid() as id from generate_series(1, $1)) fresh {LAB_MARK}"
    )))
    .bind(EVENTS)
    .execute(&mut town.monitor)
    .await?;
    town.start_worker("relay").await?;
    let begun = Instant::now();
    let mut started: Option<(Instant, i64)> = None;
    loop {
        let left = town.unsaid().await?;
        ensure!(
            begun.elapsed() < PATIENCE,
            "{left} of {EVENTS} events were not said within {PATIENCE:?}"
        );
        if left <= STARTED {
            let (since, from) = *started.get_or_insert_with(|| (Instant::now(), left));
            if left == 0 {
                ensure!(
                    from > EVENTS / 2,
                    "the outbox was emptied too fast to be measured"
                );
                let rate = from as f64 / since.elapsed().as_secs_f64();
                let what = "events relayed from a full outbox into a quorum queue".to_owned();
                let met = rate >= LEAST_PER_S;
                return Ok(LimitResult::new(
                    "relay",
                    what,
                    "at least 3 000/s",
                    rate,
                    "/s",
                    met,
                ));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}
