//! Who may work on a SKU's stock: a bounded number of transactions of this process at a time, the others wait in line
//! *without* a connection.
//!
//! Orders of one SKU take turns at its row, whatever the shop does. If each waited for the row with a connection in its
//! hand, a few buyers of one hot SKU would hold all connections, and customers who want something else would get a 503
//! (head-of-line blocking). So an order takes a slot of each of its SKUs before it takes a connection, and gives them back
//! after its commit.
//!
//! - **Fair**: first come, first served, for each SKU.
//! - **All slots at once**: an order of several SKUs holds none while it waits for one. So there is no deadlock, and an
//!   order of a cold SKU goes past those that want it together with a hot one. An order that has waited for half of its
//!   time is no longer passed, so it isn't starved by others that want a part of what it wants.
//! - **Bounded**: by a deadline, after which the client is asked to retry (load shedding). A SKU without orders occupies
//!   no memory; a request that goes away leaves the line.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::http::error::ApiError;
use crate::settings::OrderSettings;

/// The line of each SKU, of this process.
pub struct SkuQueue {
    lines: Arc<Lines>,
    writers: Arc<Semaphore>,
    timeout: Duration,
    compensation_timeout: Duration,
}

struct Lines {
    slots: usize,
    /// After this, a waiter is no longer passed.
    passing_ends: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Slots in use, for each SKU that has any.
    in_use: HashMap<Arc<str>, usize>,
    /// In the order in which they came.
    waiting: VecDeque<Waiter>,
    next_ticket: u64,
}

struct Waiter {
    ticket: u64,
    skus: Arc<[Arc<str>]>,
    since: Instant,
    granted: oneshot::Sender<()>,
}

/// A slot of each SKU of an order, until it is dropped.
#[must_use = "dropping it gives the slots back"]
pub struct SkuTurn {
    // Returned before the slots: the order that gets them finds a permit.
    _writer: OwnedSemaphorePermit,
    _place: Place,
}

/// A place in the lines: first waiting, then granted. Either way it ends when this is dropped.
struct Place {
    lines: Arc<Lines>,
    ticket: u64,
    skus: Arc<[Arc<str>]>,
}

impl SkuQueue {
    /// With the slots and the deadline of the settings.
    /// At most `writers` orders write stock at a time, whatever their SKUs: locked rows of many SKUs can't take all
    /// connections of those who buy.
    pub fn new(settings: &OrderSettings, writers: u32) -> Self {
        Self::with(
            usize::from(settings.sku_waiters),
            settings.sku_queue_timeout,
            settings.margin,
            writers as usize,
        )
    }

    fn with(slots: usize, timeout: Duration, compensation_timeout: Duration, writers: usize) -> Self {
        Self {
            writers: Arc::new(Semaphore::new(writers)),
            lines: Arc::new(Lines {
                slots,
                passing_ends: timeout / 2,
                state: Mutex::default(),
            }),
            timeout,
            compensation_timeout,
        }
    }

    /// A slot of each SKU, for an order that a client can place again.
    ///
    /// # Errors
    /// 503 when they weren't free in time.
    pub async fn acquire<'s>(&self, skus: impl Iterator<Item = &'s str>) -> Result<SkuTurn, ApiError> {
        self.acquire_within(self.timeout, skus).await
    }

    /// A slot of each SKU, for stock that an order returns. It waits for as long as a request may work on its order: what
    /// isn't returned here is returned by the worker, much later.
    ///
    /// # Errors
    /// 503 when they weren't free in time.
    pub async fn acquire_for_compensation<'s>(
        &self,
        skus: impl Iterator<Item = &'s str>,
    ) -> Result<SkuTurn, ApiError> {
        self.acquire_within(self.compensation_timeout, skus).await
    }

    async fn acquire_within<'s>(
        &self,
        timeout: Duration,
        skus: impl Iterator<Item = &'s str>,
    ) -> Result<SkuTurn, ApiError> {
        let skus: HashSet<&str> = skus.collect();
        let skus: Arc<[Arc<str>]> = skus.into_iter().map(Arc::from).collect();
        let (granted, grant) = oneshot::channel();
        let place = self.lines.enter(skus, granted);
        let ends = tokio::time::Instant::now() + timeout;
        let is_granted = tokio::time::timeout(timeout, grant).await.is_ok() || place.is_granted();
        if is_granted
            && let Ok(writer) = tokio::time::timeout_at(ends, self.writers.clone().acquire_owned()).await
        {
            return Ok(SkuTurn {
                _writer: writer.expect("it is never closed"),
                _place: place,
            });
        }
        metrics::counter!("sku_queue_timeouts_total").increment(1);
        Err(ApiError::Overloaded(
            "an order waited too long for its turn at a SKU",
        ))
    }
}

impl Lines {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, skus: Arc<[Arc<str>]>, granted: oneshot::Sender<()>) -> Place {
        let mut state = self.state();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(Waiter {
            ticket,
            skus: skus.clone(),
            since: Instant::now(),
            granted,
        });
        self.grant(&mut state);
        Place {
            lines: self.clone(),
            ticket,
            skus,
        }
    }

    /// Grants what can be granted, first come, first served.
    fn grant(&self, state: &mut State) {
        let now = Instant::now();
        let mut kept_free: HashSet<Arc<str>> = HashSet::new();
        let mut still_waiting = VecDeque::with_capacity(state.waiting.len());
        for waiter in state.waiting.drain(..) {
            // One slot of each SKU that an old waiter needs stays free, so that orders of its other SKUs go on.
            let is_free = |sku: &Arc<str>| {
                let reserved = usize::from(kept_free.contains(sku));
                state.in_use.get(sku).copied().unwrap_or(0) + reserved < self.slots
            };
            if waiter.skus.iter().all(is_free) {
                for sku in waiter.skus.iter() {
                    *state.in_use.entry(sku.clone()).or_default() += 1;
                }
                // A receiver that has gone gives the slots back when its place is dropped.
                let _ = waiter.granted.send(());
                continue;
            }
            if now.duration_since(waiter.since) >= self.passing_ends {
                kept_free.extend(waiter.skus.iter().cloned());
            }
            still_waiting.push_back(waiter);
        }
        state.waiting = still_waiting;
    }
}

impl Place {
    fn is_granted(&self) -> bool {
        let state = self.lines.state();
        !state.waiting.iter().any(|waiter| waiter.ticket == self.ticket)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.lines.state();
        let waited = state
            .waiting
            .iter()
            .position(|waiter| waiter.ticket == self.ticket);
        match waited {
            Some(position) => {
                state.waiting.remove(position);
            }
            None => {
                for sku in self.skus.iter() {
                    if let Some(in_use) = state.in_use.get_mut(sku) {
                        *in_use -= 1;
                        if *in_use == 0 {
                            state.in_use.remove(sku);
                        }
                    }
                }
            }
        }
        self.lines.grant(&mut state);
    }
}

#[cfg(test)]
mod tests {
    /// More than the tests have orders.
    const WRITERS: usize = 100;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn queue(slots: usize, timeout: Duration) -> Arc<SkuQueue> {
        Arc::new(SkuQueue::with(slots, timeout, timeout, WRITERS))
    }

    fn waiting(queue: &SkuQueue) -> usize {
        queue.lines.state().waiting.len()
    }

    async fn acquire(queue: &SkuQueue, skus: &[&str]) -> Result<SkuTurn, ApiError> {
        queue.acquire(skus.iter().copied()).await
    }

    /// Enters the line, in the order of the calls, and sends its number when it has its turn.
    async fn enter(
        queue: &Arc<SkuQueue>,
        skus: &'static [&'static str],
        number: u32,
        log: &Arc<Mutex<Vec<u32>>>,
    ) -> tokio::task::JoinHandle<SkuTurn> {
        let before = waiting(queue);
        let (line, log) = (queue.clone(), log.clone());
        let entered = tokio::spawn(async move {
            let Ok(turn) = acquire(&line, skus).await else {
                panic!("no turn");
            };
            log.lock().unwrap().push(number);
            turn
        });
        while waiting(queue) == before && !entered.is_finished() {
            tokio::task::yield_now().await;
        }
        entered
    }

    #[tokio::test]
    async fn a_line_is_served_in_its_order_and_leaves_nothing() {
        let queue = queue(2, LONG);
        let log = Arc::new(Mutex::new(Vec::new()));
        let first = acquire(&queue, &["A"]).await.ok().unwrap();
        let second = acquire(&queue, &["A"]).await.ok().unwrap();
        let third = enter(&queue, &["A"], 3, &log).await;
        let fourth = enter(&queue, &["A"], 4, &log).await;
        let fifth = enter(&queue, &["A"], 5, &log).await;
        assert_eq!(waiting(&queue), 3);
        drop(first);
        let third = third.await.unwrap();
        assert_eq!(waiting(&queue), 2);
        drop((second, third));
        drop((fourth.await.unwrap(), fifth.await.unwrap()));
        assert_eq!(log.lock().unwrap()[0], 3);
        assert!(queue.lines.state().in_use.is_empty());
    }

    #[tokio::test]
    async fn an_order_that_waits_for_a_hot_sku_holds_no_other() {
        let queue = queue(1, LONG);
        let log = Arc::new(Mutex::new(Vec::new()));
        let hot = acquire(&queue, &["HOT"]).await.ok().unwrap();
        let both = enter(&queue, &["COLD", "HOT"], 1, &log).await;
        drop(acquire(&queue, &["COLD"]).await.ok().unwrap());
        assert_eq!(waiting(&queue), 1);
        drop(hot);
        drop(both.await.unwrap());
        assert!(queue.lines.state().in_use.is_empty());
    }

    #[tokio::test]
    async fn an_order_of_two_skus_is_not_starved_by_those_that_want_one() {
        let mut lines = SkuQueue::with(1, LONG, LONG, WRITERS);
        Arc::get_mut(&mut lines.lines).unwrap().passing_ends = Duration::ZERO;
        let queue = Arc::new(lines);
        let log = Arc::new(Mutex::new(Vec::new()));
        let a = acquire(&queue, &["A"]).await.ok().unwrap();
        let both = enter(&queue, &["A", "B"], 1, &log).await;
        let b = enter(&queue, &["B"], 2, &log).await;
        assert_eq!(waiting(&queue), 2, "it isn't passed any more");
        drop(a);
        drop(both.await.unwrap());
        drop(b.await.unwrap());
        assert_eq!(*log.lock().unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn who_waits_too_long_or_goes_away_leaves_the_line() {
        let queue = queue(1, Duration::from_millis(1));
        let turn = acquire(&queue, &["A"]).await.ok().unwrap();
        let refused = acquire(&queue, &["A", "B"]).await.err().unwrap();
        assert!(matches!(refused, ApiError::Overloaded(_)));
        let gone = acquire(&queue, &["A"]);
        drop(gone);
        assert_eq!(waiting(&queue), 0);
        drop(turn);
        assert!(queue.lines.state().in_use.is_empty());
        drop(acquire(&queue, &["A", "B"]).await.ok().unwrap());
    }
}
