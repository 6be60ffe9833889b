//! What a run left in the database, and whether it adds up.

use anyhow::Result;
use hdrhistogram::Histogram;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use super::Goods;
use crate::costs::LAB_MARK;

/// The run's orders, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Orders that are paid for, whatever became of them since.
    pub paid: i64,
    /// Units of the goods in them.
    pub units_paid: i64,
    /// Units in orders that hold stock and are not paid.
    pub units_held: i64,
    /// Units that are left of the goods.
    pub units_left: i64,
    /// Orders whose money does not add up.
    pub wrong_sums: i64,
    /// Orders that share a key, or have none.
    pub wrong_keys: i64,
    /// Goods of which there is less than nothing.
    pub below_zero: i64,
    /// Orders that were authorized more than once, by the gateway.
    pub charged_twice: u64,
    /// Payments that hold money or took it, by the gateway.
    pub payments: u64,
    /// Deadlocks in this database since it was made.
    pub deadlocks: i64,
}

impl Books {
    /// Units that were sold and are still counted as there, or the other way round. 0 where stock is right.
    pub fn miscounted(&self, units_at_first: i64) -> i64 {
        self.units_paid + self.units_held + self.units_left - units_at_first
    }

    /// Units sold that never were.
    pub fn oversold(&self, units_at_first: i64) -> i64 {
        (self.units_paid - units_at_first).max(0)
    }

    /// The first thing that is wrong whatever the arm; `None` when nothing is.
    pub fn violated(&self) -> Option<String> {
        let faults = [
            (self.wrong_sums, "orders whose money does not add up"),
            (self.wrong_keys, "orders that share a key or have none"),
            (self.below_zero, "variants of which there is less than nothing"),
            (
                i64::try_from(self.charged_twice).unwrap_or(i64::MAX),
                "orders that were charged twice",
            ),
        ];
        faults
            .iter()
            .find(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
    }
}

pub(super) async fn read(connection: &mut PgConnection, since: Uuid, goods: &Goods) -> Result<Books> {
    let sql = format!(
        "with ours as materialized (select * from orders where id > $1), \
         units as ( \
             select sum(l.quantity) filter (where o.status in ('paid', 'fulfilled', 'delivered')) as paid, \
                    sum(l.quantity) filter (where o.status = 'pending_payment') as held \
             from ours o join order_lines l on l.order_id = o.id where l.variant_id = any($2)) \
         select (select count(*) from ours where status in ('paid', 'fulfilled', 'delivered')) as orders_paid, \
                coalesce((select paid from units), 0)::int8 as units_paid, \
                coalesce((select held from units), 0)::int8 as units_held, \
                (select sum(stock_quantity)::int8 from variants where id = any($2)) as units_left, \
                (select count(*) from variants where id = any($2) and stock_quantity < 0) as below_zero, \
                (select count(*) from ours o where subtotal_cents <> (select coalesce(sum(quantity * unit_price_cents), 0) \
                     from order_lines where order_id = o.id)) as wrong_sums, \
                (select count(*) from ours o where 1 <> (select count(*) from idempotency_keys k \
                     where k.order_id = o.id)) as wrong_keys, \
                (select deadlocks from pg_stat_database where datname = current_database()) as deadlocks {LAB_MARK}"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(since)
        .bind(&goods.variants)
        .fetch_one(connection)
        .await?;
    Ok(Books {
        paid: row.try_get("orders_paid")?,
        units_paid: row.try_get("units_paid")?,
        units_held: row.try_get("units_held")?,
        units_left: row.try_get("units_left")?,
        wrong_sums: row.try_get("wrong_sums")?,
        wrong_keys: row.try_get("wrong_keys")?,
        below_zero: row.try_get("below_zero")?,
        deadlocks: row.try_get("deadlocks")?,
        ..Books::default()
    })
}

/// How long after its request each order was all done: its mail sent and its parcel labelled, by the timeline.
#[derive(Debug)]
pub struct DoneTimes {
    /// In milliseconds.
    pub histogram: Histogram<u64>,
    /// Orders that are not done.
    pub undone: i64,
}

/// A 99th percentile rests on so many.
const SAMPLES_FOR_P99: u64 = 10_000;

impl DoneTimes {
    /// In seconds.
    pub fn quantile_s(&self, quantile: f64) -> Option<f64> {
        let seconds = || self.histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        (!self.histogram.is_empty()).then(seconds)
    }

    /// In seconds, where there are enough.
    pub fn p99_s(&self) -> Option<f64> {
        (self.histogram.len() >= SAMPLES_FOR_P99)
            .then(|| self.quantile_s(0.99))
            .flatten()
    }

    /// The last one, in seconds.
    pub fn last_s(&self) -> Option<f64> {
        self.quantile_s(1.0)
    }
}

/// Of the orders with later ids than this.
pub async fn done_times(connection: &mut PgConnection, since: Uuid) -> Result<DoneTimes> {
    // An order without both has no time.
    let sql = format!(
        "select case when count(distinct e.event) = 2 \
                     then (extract(epoch from max(e.at) - o.created_at) * 1000)::int8 end \
         from orders o \
         left join order_events e on e.order_id = o.id and e.event in ('confirmation_sent', 'fulfilled') \
         where o.id > $1 and o.status in ('paid', 'fulfilled', 'delivered') \
         group by o.id, o.created_at {LAB_MARK}"
    );
    let times: Vec<Option<i64>> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(since)
        .fetch_all(connection)
        .await?;
    let mut histogram = Histogram::new(3).expect("three digits are allowed");
    let mut undone = 0;
    for time in times {
        match time {
            // The api's clock and Postgres' are one, but a transaction's time is that of its begin.
            Some(milliseconds) => histogram.saturating_record(u64::try_from(milliseconds).unwrap_or(0)),
            None => undone += 1,
        }
    }
    Ok(DoneTimes { histogram, undone })
}
