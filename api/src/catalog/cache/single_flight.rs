//! Single flight: equal requests that miss at one time do the work once, and share the answer or the error.
//!
//! A leader that goes away, because its client did, leaves no one stuck: the next follower leads, and there is one leader at
//! a time. Followers hold no database connection, and wait no longer than their own request may take.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

/// Different keys that may be worked on at a time. Above it, requests work for themselves.
const MAX_FLIGHTS: usize = 4_096;

/// The work that is under way, by key.
pub struct Flights<T> {
    open: Mutex<HashMap<String, watch::Receiver<Option<T>>, foldhash::fast::RandomState>>,
}

/// What a request does about a key.
pub enum Role<'f, T> {
    /// It does the work for all.
    Leader(Leader<'f, T>),
    /// Another does.
    Follower(Follower<T>),
    /// It does the work for itself.
    Alone,
}

/// Ends the flight when it is dropped, with an outcome or without.
pub struct Leader<'f, T> {
    flights: &'f Flights<T>,
    key: String,
    outcome: watch::Sender<Option<T>>,
    result: Option<T>,
}

/// Waits for a leader.
pub struct Follower<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Flights<T> {
    /// None yet.
    pub fn new() -> Self {
        Self {
            open: Mutex::new(HashMap::default()),
        }
    }

    /// Leads the work under a key, or follows who does.
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
    /// Whether anyone follows. Besides the receiver that is found under the key.
    pub fn has_followers(&self) -> bool {
        self.outcome.receiver_count() > 1
    }

    /// Gives the outcome to the followers.
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
        // Only now: a follower that joins again joins another flight.
        if let Some(result) = self.result.take() {
            self.outcome.send_replace(Some(result));
        }
    }
}

impl<T: Clone> Follower<T> {
    /// The leader's outcome. None when it went away without one: join again.
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
            _ => panic!("it doesn't lead"),
        }
    }

    fn follower(flights: &Flights<u8>, key: &str) -> Follower<u8> {
        match flights.join(key) {
            Role::Follower(follower) => follower,
            _ => panic!("it doesn't follow"),
        }
    }

    #[tokio::test]
    async fn followers_share_the_outcome_and_later_requests_start_anew() {
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
    async fn when_a_leader_goes_away_a_follower_leads() {
        let flights = Flights::new();
        let first = leader(&flights, "key");
        let waits = follower(&flights, "key");
        drop(first);
        assert_eq!(waits.outcome().await, None);
        leader(&flights, "key").finish(1);
    }
}
