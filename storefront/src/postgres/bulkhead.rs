//! Bulkheads: how the connections of a pool are shared out to classes of work, so that no class can take what another
//! needs (<https://learn.microsoft.com/azure/architecture/patterns/bulkhead>).
//!
//! Each class has a number of connections that is guaranteed to it, and a maximum. What is guaranteed to none is shared:
//! whichever class needs more takes it, up to its maximum. Who waits is served in order of arrival, within a class.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one class may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Connections that no other class takes.
    pub guaranteed: u32,
    /// Connections that it may have at a time.
    pub maximum: u32,
}

/// The shares of one pool. `N` is the number of classes.
#[derive(Debug)]
pub struct Bulkhead<const N: usize> {
    classes: [Class; N],
    /// What is guaranteed to no class.
    shared: Arc<Semaphore>,
}

#[derive(Debug)]
struct Class {
    maximum: Arc<Semaphore>,
    guaranteed: Arc<Semaphore>,
    share: Share,
    waiting: AtomicU32,
}

/// The right to one connection. Returned when it is dropped.
#[derive(Debug)]
pub struct Admission {
    _connection: OwnedSemaphorePermit,
    // Released last: who waits for it finds a connection.
    _maximum: OwnedSemaphorePermit,
}

/// How much of its share a class uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassUse {
    /// Connections that it has.
    pub used: u32,
    /// Those of them that are guaranteed to no class.
    pub lent: u32,
    /// Requests that wait for one.
    pub waiting: u32,
}

/// Shares that can't be had together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// More is guaranteed than there is.
    #[error("{guaranteed} connections are guaranteed to classes, and there are {total}")]
    TooMuchGuaranteed {
        /// To all classes together.
        guaranteed: u32,
        /// Of the pool.
        total: u32,
    },
    /// A class couldn't have what is guaranteed to it, or nothing at all.
    #[error("a class's maximum of {maximum} connections is below {}", (*guaranteed).max(1))]
    MaximumTooSmall {
        /// To the class.
        guaranteed: u32,
        /// Of the class.
        maximum: u32,
    },
    /// A class could have none while the others have theirs.
    #[error("nothing is guaranteed to a class, and nothing is left to share")]
    NothingLeft,
}

impl<const N: usize> Bulkhead<N> {
    /// Shares out so many connections.
    ///
    /// # Errors
    /// When they don't suffice.
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

    /// Waits for a connection of the class at this index, without a limit of its own.
    pub async fn admit(&self, class: usize) -> Admission {
        let class = &self.classes[class];
        if let Some(admission) = self.try_admit(class) {
            return admission;
        }
        let _waiting = Waiting::begin(&class.waiting);
        const OPEN: &str = "these semaphores are never closed";
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

    /// What the class at this index uses.
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

/// Counted for as long as it lives, however it ends.
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

    /// What a class gets at once.
    fn at_once<const N: usize>(bulkhead: &Bulkhead<N>, class: usize) -> Vec<Admission> {
        std::iter::from_fn(|| bulkhead.admit(class).now_or_never()).collect()
    }

    #[test]
    fn a_class_takes_what_is_shared_and_leaves_what_is_guaranteed_to_others() {
        let bulkhead = Bulkhead::new(8, [share(1, 8), share(2, 8), share(1, 2)]).unwrap();
        let greedy = at_once(&bulkhead, 0);
        assert_eq!(greedy.len(), 5, "its own and the four that are shared");
        let usage = ClassUse {
            used: 5,
            lent: 4,
            waiting: 0,
        };
        assert_eq!(bulkhead.usage(0), usage);
        assert_eq!(at_once(&bulkhead, 1).len(), 2);
        assert_eq!(at_once(&bulkhead, 2).len(), 1);
        drop(greedy);
        assert_eq!(at_once(&bulkhead, 2).len(), 2, "its maximum");
        assert_eq!(at_once(&bulkhead, 1).len(), 6);
    }

    #[test]
    fn what_is_returned_goes_to_who_waits_first() {
        let bulkhead = Bulkhead::new(2, [share(0, 2), share(0, 2)]).unwrap();
        let mut held = at_once(&bulkhead, 0);
        assert_eq!(held.len(), 2);
        let (mut first, mut second) = (Box::pin(bulkhead.admit(1)), Box::pin(bulkhead.admit(1)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert_eq!(bulkhead.usage(1).waiting, 2);
        held.pop();
        assert!(second.as_mut().now_or_never().is_none());
        assert!(first.as_mut().now_or_never().is_some());
        // One that gives up takes nothing with it.
        drop(second);
        held.pop();
        assert_eq!(at_once(&bulkhead, 0).len(), 2);
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
    fn shares_that_do_not_fit_are_refused() {
        let refused = |total, shares: [Share; 2]| Bulkhead::new(total, shares).unwrap_err();
        assert!(matches!(
            refused(2, [share(2, 2), share(1, 1)]),
            ShareError::TooMuchGuaranteed {
                guaranteed: 3,
                total: 2
            }
        ));
        assert!(matches!(
            refused(8, [share(3, 2), share(1, 1)]),
            ShareError::MaximumTooSmall {
                guaranteed: 3,
                maximum: 2
            }
        ));
        assert!(matches!(
            refused(1, [share(1, 1), share(0, 1)]),
            ShareError::NothingLeft
        ));
    }
}
