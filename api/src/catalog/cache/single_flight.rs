//! Single flight: concurrent requests that miss on one key do the work once, and share the answer or the error.
//!
//! If a leader is cancelled because its client disconnected, the next follower becomes the leader, so there is always
//! exactly one. Followers hold no database connection, and wait no longer than their own request's timeout.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

/// The most concurrent flights. Beyond that, requests do the work alone.
const MAX_FLIGHTS: usize = 4_096;

/// The flights in progress, by key.
pub struct Flights<T> {
    open: Mutex<HashMap<String, watch::Receiver<Option<T>>, foldhash::fast::RandomState>>,
}

/// A request's role in a flight.
pub enum Role<'f, T> {
    /// Does the work for all.
    Leader(Leader<'f, T>),
    /// Waits for the leader's outcome.
    Follower(Follower<T>),
    /// Does the work only for itself.
    Alone,
}

/// Ends the flight when it is dropped, with or without an outcome.
pub struct Leader<'f, T> {
    flights: &'f Flights<T>,
    key: String,
    outcome: watch::Sender<Option<T>>,
    result: Option<T>,
}

/// Receives the leader's outcome, or notices that the leader was cancelled.
pub struct Follower<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Flights<T> {
    /// Without flights. One instance serves all requests of a process.
    pub fn new() -> Self {
        Self {
            open: Mutex::new(HashMap::default()),
        }
    }

    /// Joins the key's flight as a follower, or starts one as its leader.
    pub fn join(&self, key: &str) -> Role<'_, T> {
        let mut open = self.open();
        if let Some(outcome) = open.get(key) {
            return Role::Follower(Follower(outcome.clone()));
        }
        if open.len() >= MAX_FLIGHTS {
            return Role::Alone;
        }
        let (outcome, receiver) = watch::channel(None);
        open.insert(key.to_owned(), receiver);
        Role::Leader(Leader {
            flights: self,
            key: key.to_owned(),
            outcome,
            result: None,
        })
    }

    fn open(
        &self,
    ) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<T>>, foldhash::fast::RandomState>> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T> Leader<'_, T> {
    /// Whether other requests are waiting for the outcome at this moment.
    pub fn has_followers(&self) -> bool {
        // The first receiver is the map's.
        self.outcome.receiver_count() > 1
    }

    /// Sends the outcome to the followers.
    pub fn finish(mut self, outcome: T) {
        self.result = Some(outcome);
    }
}

impl<T> Drop for Leader<'_, T> {
    fn drop(&mut self) {
        let mut open = self
            .flights
            .open
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        open.remove(&self.key);
        drop(open);
        // After the removal, so that a follower that joins again joins a new flight.
        if let Some(result) = self.result.take() {
            self.outcome.send_replace(Some(result));
        }
    }
}

impl<T: Clone> Follower<T> {
    /// The leader's outcome. `None` if the leader was cancelled: join again.
    pub async fn outcome(mut self) -> Option<T> {
        let outcome = self.0.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader<'f>(flights: &'f Flights<u8>, key: &str) -> Leader<'f, u8> {
        match flights.join(key) {
            Role::Leader(leader) => leader,
            _ => panic!("not the leader"),
        }
    }

    fn follower(flights: &Flights<u8>, key: &str) -> Follower<u8> {
        match flights.join(key) {
            Role::Follower(follower) => follower,
            _ => panic!("not a follower"),
        }
    }

    #[tokio::test]
    async fn followers_share_the_outcome_and_later_requests_start_a_new_flight() {
        let flights = Flights::new();
        let first = leader(&flights, "key");
        assert!(!first.has_followers());
        let (one, other) = (follower(&flights, "key"), follower(&flights, "key"));
        assert!(first.has_followers());
        drop(leader(&flights, "another key"));
        first.finish(7);
        assert_eq!((one.outcome().await, other.outcome().await), (Some(7), Some(7)));
        leader(&flights, "key");
    }

    #[tokio::test]
    async fn when_a_leader_is_cancelled_a_follower_leads() {
        let flights = Flights::new();
        let first = leader(&flights, "key");
        let waiting = follower(&flights, "key");
        drop(first);
        assert_eq!(waiting.outcome().await, None);
        leader(&flights, "key").finish(1);
    }
}
