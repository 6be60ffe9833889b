//! A gate on the api's ways to Postgres and to the payment gateway: it counts the round trips of a request, and holds
//! the one that it is told to, before it arrives or before it is answered.
//!
//! A round trip is what the api sends until it is answered, on the connections that requests use. The opening of a
//! connection is none, and neither is what nobody waits for: sqlx's look at a connection that was given back, and the
//! waking of the relay, which has a connection of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcp_proxy::{Direction, Proxy, Verdict};
use tokio::sync::watch;

/// Far above what any step takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whom the api asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Postgres,
    Gateway,
}

/// A gate of several doors, which are counted together.
pub struct Gate {
    shared: Arc<Shared>,
    doors: Vec<Proxy>,
}

struct Shared {
    passage: Mutex<Passage>,
    is_holding: watch::Sender<bool>,
}

/// Of one request.
#[derive(Default)]
struct Passage {
    steps: Vec<Peer>,
    hold: Option<(usize, Direction)>,
}

impl Gate {
    pub fn new() -> Self {
        let shared = Shared {
            passage: Mutex::default(),
            is_holding: watch::Sender::new(false),
        };
        Self {
            shared: Arc::new(shared),
            doors: Vec::new(),
        }
    }

    /// The URL of a door to the server of this URL.
    pub fn door(&mut self, to: Peer, url: &str) -> String {
        let shared = Arc::clone(&self.shared);
        let door = Proxy::inspecting(url, move || {
            let mut passenger = Passenger::new(to, Arc::clone(&shared));
            move |direction, chunk| passenger.inspect(direction, chunk)
        })
        .unwrap();
        let own = door.through(url).unwrap();
        self.doors.push(door);
        own
    }

    /// Counts anew, and lets everything through.
    pub fn count(&self) {
        self.begin(None);
    }

    /// Counts anew, and holds the step of this number; the first is 1. What is held never goes on.
    pub fn hold(&self, step: usize, held: Direction) {
        self.begin(Some((step, held)));
    }

    fn begin(&self, hold: Option<(usize, Direction)>) {
        self.shared.is_holding.send_replace(false);
        *self.shared.passage.lock().unwrap() = Passage {
            steps: Vec::new(),
            hold,
        };
    }

    /// Whom the steps since then asked.
    pub fn steps(&self) -> Vec<Peer> {
        self.shared.passage.lock().unwrap().steps.clone()
    }

    /// Waits until the step is held.
    pub async fn until_held(&self) {
        let mut is_holding = self.shared.is_holding.subscribe();
        let held = tokio::time::timeout(PATIENCE, is_holding.wait_for(|held| *held)).await;
        assert!(
            held.is_ok(),
            "the step was never reached; seen: {:?}",
            self.steps()
        );
    }
}

impl Shared {
    /// What is held of the step that begins now.
    fn step(&self, to: Peer) -> Option<Direction> {
        let mut passage = self.passage.lock().unwrap();
        passage.steps.push(to);
        let number = passage.steps.len();
        passage
            .hold
            .filter(|(step, _)| *step == number)
            .map(|(_, held)| held)
    }
}

/// What is known of a connection to Postgres before its first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// The client hasn't said who it is.
    Unknown,
    /// A connection of requests, that isn't ready for them yet.
    OfRequests,
    /// It is ready.
    Done,
}

/// One connection.
struct Passenger {
    to: Peer,
    shared: Arc<Shared>,
    opening: Opening,
    is_asked: bool,
    held: Option<Direction>,
}

impl Passenger {
    fn new(to: Peer, shared: Arc<Shared>) -> Self {
        let opening = match to {
            Peer::Postgres => Opening::Unknown,
            Peer::Gateway => Opening::Done,
        };
        Self {
            to,
            shared,
            opening,
            is_asked: false,
            held: None,
        }
    }

    fn inspect(&mut self, direction: Direction, chunk: &[u8]) -> Verdict {
        match direction {
            Direction::Requests => {
                let is_step = self.opening == Opening::Done
                    && !self.is_asked
                    && !(self.to == Peer::Postgres && is_housekeeping(chunk));
                if self.opening == Opening::Unknown && is_of_requests(chunk) {
                    self.opening = Opening::OfRequests;
                } else if is_step {
                    self.held = self.held.or(self.shared.step(self.to));
                }
            }
            Direction::Responses => {
                if self.opening == Opening::OfRequests && is_ready(chunk) {
                    self.opening = Opening::Done;
                }
            }
        }
        self.is_asked = direction == Direction::Requests;
        // Postgres and the gateway answer when a step is done: one that is answered is committed.
        if self.held == Some(direction) {
            self.shared.is_holding.send_replace(true);
            return Verdict::Swallow;
        }
        Verdict::Forward
    }
}

/// Whether a startup message names the connections that requests use; others have a longer name.
fn is_of_requests(startup: &[u8]) -> bool {
    let name = b"application_name\0backstock-api\0";
    startup.windows(name.len()).any(|window| window == name)
}

/// Postgres' `ReadyForQuery`, at the end of an answer.
fn is_ready(answer: &[u8]) -> bool {
    answer
        .last_chunk::<6>()
        .is_some_and(|end| end[..5] == *b"Z\0\0\0\x05")
}

/// A `Sync` that nothing precedes, or a goodbye.
fn is_housekeeping(message: &[u8]) -> bool {
    message == b"S\0\0\0\x04" || message == b"X\0\0\0\x04"
}
