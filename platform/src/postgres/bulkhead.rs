//! Bulkheads: a pool's connections are divided among classes of work, so that no class can starve another
//! (<https://learn.microsoft.com/azure/architecture/patterns/bulkhead>).
//!
//! Each class has a guaranteed number of connections and a maximum. The remaining connections are shared: any
//! class may use them, up to its maximum. Within a class, waiting requests are served in order of arrival.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A class's share of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Connections reserved for this class.
    pub guaranteed: u32,
    /// The most connections that this class may use at a time.
    pub maximum: u32,
}

/// The shares of one pool. `N` is the number of classes.
#[derive(Debug)]
pub struct Bulkhead<const N: usize> {
    classes: [Class; N],
    /// Connections that are guaranteed to no class.
    shared: Arc<Semaphore>,
}

#[derive(Debug)]
struct Class {
    maximum: Arc<Semaphore>,
    guaranteed: Arc<Semaphore>,
    share: Share,
    waiting: AtomicU32,
}

/// A permit for one connection. Dropping it releases it.
#[derive(Debug)]
pub struct Admission {
    _connection: OwnedSemaphorePermit,
    // Released last, so that a waiting request finds a free connection.
    _maximum: OwnedSemaphorePermit,
}

/// A class's current use of its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassUse {
    /// Connections in use.
    pub used: u32,
    /// Of these, connections from the shared ones.
    pub lent: u32,
    /// Requests waiting for a connection.
    pub waiting: u32,
}

/// Why shares are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The guaranteed connections exceed the pool.
    #[error("{guaranteed} connections are guaranteed to classes, and there are {total}")]
    TooMuchGuaranteed {
        /// The sum over all classes.
        guaranteed: u32,
        /// The pool's connections.
        total: u32,
    },
    /// A class's maximum is 0, or below its guaranteed connections.
    #[error("a class's maximum of {maximum} connections is below {}", (*guaranteed).max(1))]
    MaximumTooSmall { guaranteed: u32, maximum: u32 },
    /// A class could starve while the others use their guaranteed connections.
    #[error("a class has no guaranteed connection, and there are no shared ones")]
    NothingLeft,
}

impl<const N: usize> Bulkhead<N> {
    /// Divides `total` connections among the classes.
    ///
    /// # Errors
    /// When the shares are invalid, or exceed the total.
    pub fn new(total: u32, shares: [Share; N]) -> Result<Self, ShareError> {
        let guaranteed = shares.iter().map(|share| share.guaranteed).sum();
        let Some(shared) = total.checked_sub(guaranteed) else {
            return Err(ShareError::TooMuchGuaranteed { guaranteed, total });
        };
        for Share { guaranteed, maximum } in shares {
            if maximum < guaranteed.max(1) {
                return Err(ShareError::MaximumTooSmall { guaranteed, maximum });
            }
            if guaranteed == 0 && shared == 0 {
                return Err(ShareError::NothingLeft);
            }
        }
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Ok(Self {
            classes: shares.map(|share| Class {
                maximum: semaphore(share.maximum),
                guaranteed: semaphore(share.guaranteed),
                share,
                waiting: AtomicU32::new(0),
            }),
            shared: semaphore(shared),
        })
    }

    /// Waits for a connection of the class at this index. The caller limits the time.
    pub async fn admit(&self, class: usize) -> Admission {
        let class = &self.classes[class];
        if let Some(admission) = self.try_admit(class) {
            return admission;
        }
        let _waiting = Waiting::begin(&class.waiting);
        const OPEN: &str = "the semaphores are never closed";
        let maximum = class.maximum.clone().acquire_owned().await.expect(OPEN);
        let connection = tokio::select! {
            biased;
            own = class.guaranteed.clone().acquire_owned() => own,
            shared = self.shared.clone().acquire_owned() => shared,
        };
        Admission {
            _connection: connection.expect(OPEN),
            _maximum: maximum,
        }
    }

    fn try_admit(&self, class: &Class) -> Option<Admission> {
        let maximum = class.maximum.clone().try_acquire_owned().ok()?;
        let own = class.guaranteed.clone().try_acquire_owned();
        let connection = own.or_else(|_| self.shared.clone().try_acquire_owned()).ok()?;
        Some(Admission {
            _connection: connection,
            _maximum: maximum,
        })
    }

    /// The current use of the class at this index.
    pub fn usage(&self, class: usize) -> ClassUse {
        let class = &self.classes[class];
        let free = class.maximum.available_permits() as u32;
        let used = class.share.maximum.saturating_sub(free);
        ClassUse {
            used,
            lent: used.saturating_sub(class.share.guaranteed),
            waiting: class.waiting.load(Ordering::Relaxed),
        }
    }
}

/// Counts a waiting request until it is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn share(guaranteed: u32, maximum: u32) -> Share {
        Share { guaranteed, maximum }
    }

    /// All connections that a class gets without waiting.
    fn admit_all<const N: usize>(bulkhead: &Bulkhead<N>, class: usize) -> Vec<Admission> {
        std::iter::from_fn(|| bulkhead.admit(class).now_or_never()).collect()
    }

    #[test]
    fn a_class_uses_shared_connections_and_leaves_guaranteed_ones_to_their_classes() {
        let bulkhead = Bulkhead::new(8, [share(1, 8), share(2, 8), share(1, 2)]).unwrap();
        let greedy = admit_all(&bulkhead, 0);
        assert_eq!(greedy.len(), 5, "its own connection and the four shared ones");
        let usage = ClassUse {
            used: 5,
            lent: 4,
            waiting: 0,
        };
        assert_eq!(bulkhead.usage(0), usage);
        assert_eq!(admit_all(&bulkhead, 1).len(), 2);
        assert_eq!(admit_all(&bulkhead, 2).len(), 1);
        drop(greedy);
        assert_eq!(admit_all(&bulkhead, 2).len(), 2, "its maximum");
        assert_eq!(admit_all(&bulkhead, 1).len(), 6);
    }

    #[test]
    fn a_released_connection_goes_to_the_longest_waiting_request() {
        let bulkhead = Bulkhead::new(2, [share(0, 2), share(0, 2)]).unwrap();
        let mut held = admit_all(&bulkhead, 0);
        assert_eq!(held.len(), 2);
        let (mut first, mut second) = (Box::pin(bulkhead.admit(1)), Box::pin(bulkhead.admit(1)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert_eq!(bulkhead.usage(1).waiting, 2);
        held.pop();
        assert!(second.as_mut().now_or_never().is_none());
        assert!(first.as_mut().now_or_never().is_some());
        // A request that gives up loses no connection.
        drop(second);
        held.pop();
        assert_eq!(admit_all(&bulkhead, 0).len(), 2);
        assert_eq!(
            bulkhead.usage(1),
            ClassUse {
                used: 0,
                lent: 0,
                waiting: 0
            }
        );
    }

    #[test]
    fn invalid_shares_are_rejected() {
        let rejected = |total, shares: [Share; 2]| Bulkhead::new(total, shares).unwrap_err();
        assert!(matches!(
            rejected(2, [share(2, 2), share(1, 1)]),
            ShareError::TooMuchGuaranteed {
                guaranteed: 3,
                total: 2
            }
        ));
        assert!(matches!(
            rejected(8, [share(3, 2), share(1, 1)]),
            ShareError::MaximumTooSmall {
                guaranteed: 3,
                maximum: 2
            }
        ));
        assert!(matches!(
            rejected(1, [share(1, 1), share(0, 1)]),
            ShareError::NothingLeft
        ));
    }
}
