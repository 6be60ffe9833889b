//! A queue per SKU: a bounded number of this process's transactions work on a SKU's stock concurrently, the others
//! wait *without* a connection.
//!
//! Orders of one SKU serialize on its row lock in any case. If each held a connection while it waited for the row, a
//! few buyers of one hot SKU would take all connections, and customers of other products would get a 503
//! (head-of-line blocking). So an order acquires a slot of each of its SKUs before a connection, and releases them
//! after its commit.
//!
//! - **Fair**: first come, first served, per SKU.
//! - **All slots at once**: an order of several SKUs holds none while it waits for one. So there is no deadlock, and
//!   an order of a cold SKU overtakes those that also need a hot one. An order that has waited for half of its
//!   timeout is no longer overtaken, so it doesn't starve.
//! - **Bounded**: after a timeout, the client is asked to retry (load shedding). A SKU without orders takes no
//!   memory; an aborted request leaves the queue.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::settings::OrderSettings;
use crate::web::error::ApiError;

/// The SKU queues of this process.
pub struct SkuQueue {
    queues: Arc<Queues>,
    writers: Arc<Semaphore>,
    timeout: Duration,
    compensation_timeout: Duration,
}

struct Queues {
    slots: usize,
    /// After this wait, an entry is no longer overtaken.
    overtaking_ends: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Slots in use, of SKUs that have any.
    in_use: HashMap<Arc<str>, usize>,
    /// In the order of arrival.
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
#[must_use = "dropping it releases the slots"]
pub struct SkuTurn {
    // Dropped before the slots, so that the order that gets them finds a permit.
    _writer: OwnedSemaphorePermit,
    _entry: QueueEntry,
}

/// A queue entry, first waiting, then granted. Dropping it ends either.
struct QueueEntry {
    queues: Arc<Queues>,
    ticket: u64,
    skus: Arc<[Arc<str>]>,
}

impl SkuQueue {
    /// At most `writers` orders write stock concurrently, whatever their SKUs: locked rows of many SKUs can't take
    /// all connections of the class that buys.
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
            queues: Arc::new(Queues {
                slots,
                overtaking_ends: timeout / 2,
                state: Mutex::default(),
            }),
            timeout,
            compensation_timeout,
        }
    }

    /// Acquires a slot of each SKU, for an order that the client can retry.
    ///
    /// # Errors
    /// 503 after the timeout.
    pub async fn acquire<'s>(&self, skus: impl Iterator<Item = &'s str>) -> Result<SkuTurn, ApiError> {
        self.acquire_within(self.timeout, skus).await
    }

    /// Acquires a slot of each SKU, for a compensation. It waits as long as a request may work on its order, because
    /// otherwise the worker returns the stock much later.
    ///
    /// # Errors
    /// 503 after the timeout.
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
        let entry = self.queues.enter(skus, granted);
        let ends = tokio::time::Instant::now() + timeout;
        let is_granted = tokio::time::timeout(timeout, grant).await.is_ok() || entry.is_granted();
        if is_granted
            && let Ok(writer) = tokio::time::timeout_at(ends, self.writers.clone().acquire_owned()).await
        {
            return Ok(SkuTurn {
                _writer: writer.expect("it is never closed"),
                _entry: entry,
            });
        }
        metrics::counter!("sku_queue_timeouts_total").increment(1);
        Err(ApiError::Overloaded("an order timed out in the queue of a SKU"))
    }
}

impl Queues {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic can't leave the state inconsistent, so poisoning is ignored.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, skus: Arc<[Arc<str>]>, granted: oneshot::Sender<()>) -> QueueEntry {
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
        QueueEntry {
            queues: self.clone(),
            ticket,
            skus,
        }
    }

    /// Grants all entries that can be granted, in the order of arrival.
    fn grant(&self, state: &mut State) {
        let now = Instant::now();
        let mut reserved_slots: HashSet<Arc<str>> = HashSet::new();
        let mut still_waiting = VecDeque::with_capacity(state.waiting.len());
        for waiter in state.waiting.drain(..) {
            // Reserves one slot of each SKU that an old entry needs, so that its other orders continue.
            let is_free = |sku: &Arc<str>| {
                let reserved = usize::from(reserved_slots.contains(sku));
                state.in_use.get(sku).copied().unwrap_or(0) + reserved < self.slots
            };
            if waiter.skus.iter().all(is_free) {
                for sku in waiter.skus.iter() {
                    *state.in_use.entry(sku.clone()).or_default() += 1;
                }
                // An aborted request releases the slots when its entry is dropped.
                let _ = waiter.granted.send(());
                continue;
            }
            if now.duration_since(waiter.since) >= self.overtaking_ends {
                reserved_slots.extend(waiter.skus.iter().cloned());
            }
            still_waiting.push_back(waiter);
        }
        state.waiting = still_waiting;
    }
}

impl QueueEntry {
    fn is_granted(&self) -> bool {
        let state = self.queues.state();
        !state.waiting.iter().any(|waiter| waiter.ticket == self.ticket)
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        let mut state = self.queues.state();
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
        self.queues.grant(&mut state);
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
        queue.queues.state().waiting.len()
    }

    async fn acquire(queue: &SkuQueue, skus: &[&str]) -> Result<SkuTurn, ApiError> {
        queue.acquire(skus.iter().copied()).await
    }

    /// Enters the queue, in the order of the calls, and logs its number when it is granted.
    async fn enter(
        queue: &Arc<SkuQueue>,
        skus: &'static [&'static str],
        number: u32,
        log: &Arc<Mutex<Vec<u32>>>,
    ) -> tokio::task::JoinHandle<SkuTurn> {
        let before = waiting(queue);
        let (own_queue, log) = (queue.clone(), log.clone());
        let entered = tokio::spawn(async move {
            let Ok(turn) = acquire(&own_queue, skus).await else {
                panic!("not granted");
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
    async fn a_queue_is_served_in_order_and_ends_empty() {
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
        assert!(queue.queues.state().in_use.is_empty());
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
        assert!(queue.queues.state().in_use.is_empty());
    }

    #[tokio::test]
    async fn an_order_of_two_skus_is_not_starved_by_those_that_want_one() {
        let mut queues = SkuQueue::with(1, LONG, LONG, WRITERS);
        Arc::get_mut(&mut queues.queues).unwrap().overtaking_ends = Duration::ZERO;
        let queue = Arc::new(queues);
        let log = Arc::new(Mutex::new(Vec::new()));
        let a = acquire(&queue, &["A"]).await.ok().unwrap();
        let both = enter(&queue, &["A", "B"], 1, &log).await;
        let b = enter(&queue, &["B"], 2, &log).await;
        assert_eq!(waiting(&queue), 2, "it is no longer overtaken");
        drop(a);
        drop(both.await.unwrap());
        drop(b.await.unwrap());
        assert_eq!(*log.lock().unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn an_order_that_times_out_or_is_aborted_leaves_the_queue() {
        let queue = queue(1, Duration::from_millis(1));
        let turn = acquire(&queue, &["A"]).await.ok().unwrap();
        let refused = acquire(&queue, &["A", "B"]).await.err().unwrap();
        assert!(matches!(refused, ApiError::Overloaded(_)));
        let gone = acquire(&queue, &["A"]);
        drop(gone);
        assert_eq!(waiting(&queue), 0);
        drop(turn);
        assert!(queue.queues.state().in_use.is_empty());
        drop(acquire(&queue, &["A", "B"]).await.ok().unwrap());
    }
}
