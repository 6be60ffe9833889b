//! What is done by the clock: orders whose payment nobody knows are settled, payments of orders that came to nothing
//! voided, counts of sales moved to where lists sort by them, and what has expired is purged.
//!
//! Several workers do this at once. Rows are claimed `for update skip locked`, and where the gateway has to be asked,
//! claimed for a while by moving the time by which they are found: no transaction is open while a third party is
//! waited for, and a worker that dies is followed by another.
//!
//! One bad order never keeps the others waiting: an order whose attempt fails, at the gateway or in the database, is put
//! back for longer each time, and the round goes on (`put_back.rs`). Read next: `settle.rs`.

mod purge;
mod put_back;
mod refresh_sales;
mod settle;
mod void;

use storefront::postgres::MeasuredPool;
use storefront::third_parties::payment::PaymentGateway;

pub use self::purge::tasks as purges;
use crate::metrics;
use crate::parts::{Parts, Stop, keep_alive};
use crate::settings::UpkeepSettings;

/// Orders that are claimed at a time. The gateway is asked for one after the other, so that upkeep never competes with
/// customers.
const BATCH: i64 = 20;

/// What upkeep works with.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// The shop.
    pub pool: MeasuredPool,
    /// Knows what became of payments.
    pub payments: PaymentGateway,
    /// How often.
    pub settings: UpkeepSettings,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There may be more.
    More,
    /// There is nothing to do now.
    Rest,
}

/// What is done by the clock.
#[derive(Debug, Clone, Copy)]
enum Task {
    Settle,
    Void,
}

impl Upkeep {
    /// Does all of it until the signal comes.
    pub async fn run(self, parts: Parts, stop: Stop) {
        let settle = self.keep_doing(Task::Settle, &parts, &stop);
        let void = self.keep_doing(Task::Void, &parts, &stop);
        let purge = self.purge_all(&parts, &stop);
        let refresh_sales = self.keep_refreshing_sales(&parts, &stop);
        tokio::join!(settle, void, purge, refresh_sales);
    }

    async fn keep_doing(&self, task: Task, parts: &Parts, stop: &Stop) {
        keep_alive(task.as_str(), parts, stop, || self.session(task, parts, stop)).await;
    }

    async fn session(&self, task: Task, parts: &Parts, stop: &Stop) -> Result<(), sqlx::Error> {
        while !stop.is_given() {
            let (ended, interval) = match task {
                Task::Settle => (self.settle_round(stop).await?, self.settings.settle_interval),
                Task::Void => (self.void_round(stop).await?, self.settings.settle_interval),
            };
            parts.works(task.as_str());
            if ended == Round::Rest {
                stop.pause(interval).await;
            }
        }
        Ok(())
    }
}

impl Task {
    /// The name under which health speaks of it.
    const fn as_str(self) -> &'static str {
        match self {
            Task::Settle => "settle",
            Task::Void => "void",
        }
    }
}

fn count(task: &'static str, rows: u64) {
    if rows > 0 {
        metrics::upkept(task, rows);
    }
}
