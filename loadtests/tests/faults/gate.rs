//! A gate on the api's ways to Postgres and to the payment gateway: it counts the round trips of a request, and holds
//! the one that it is told to, before it arrives or before it is answered.
//!
//! A round trip is what the api sends until it is answered, on the connections that requests use. The opening of a
//! connection is none, and neither is what nobody waits for: sqlx's look at a connection that was given back, and the
//! waking of the relay, which has a connection of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Uri;
use loadtests::trials::Held;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
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
}

struct Shared {
    passage: Mutex<Passage>,
    is_holding: watch::Sender<bool>,
}

/// Of one request.
#[derive(Default)]
struct Passage {
    steps: Vec<Peer>,
    hold: Option<(usize, Held)>,
}

impl Gate {
    pub fn new() -> Self {
        let shared = Shared {
            passage: Mutex::default(),
            is_holding: watch::Sender::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The URL of a door to the server of this URL.
    pub async fn door(&self, to: Peer, url: &str) -> String {
        let uri: Uri = url.parse().unwrap();
        let server = uri.authority().unwrap().as_str();
        let server = server.rsplit('@').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = listener.local_addr().unwrap().to_string();
        let own = url.replacen(&server, &door, 1);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server.clone(), to, Arc::clone(&shared)));
            }
        });
        own
    }

    /// Counts anew, and lets everything through.
    pub fn count(&self) {
        self.begin(None);
    }

    /// Counts anew, and holds the step of this number; the first is 1. What is held never goes on.
    pub fn hold(&self, step: usize, held: Held) {
        self.begin(Some((step, held)));
    }

    fn begin(&self, hold: Option<(usize, Held)>) {
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
    fn step(&self, to: Peer) -> Option<Held> {
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

async fn relay(mut client: TcpStream, server: String, to: Peer, shared: Arc<Shared>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut requests, mut answers) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut opening = match to {
        Peer::Postgres => Opening::Unknown,
        Peer::Gateway => Opening::Done,
    };
    let (mut is_asked, mut held) = (false, None);
    loop {
        let passed = tokio::select! {
            read = client.read(&mut requests) => {
                // Whoever goes takes the other along: Postgres rolls back what a dead api had begun.
                let Ok(length @ 1..) = read else { return };
                let chunk = &requests[..length];
                if opening == Opening::Unknown && is_of_requests(chunk) {
                    opening = Opening::OfRequests;
                } else if opening == Opening::Done && !is_asked && !(to == Peer::Postgres && is_housekeeping(chunk)) {
                    held = held.or(shared.step(to));
                }
                is_asked = true;
                if held == Some(Held::Requests) {
                    shared.is_holding.send_replace(true);
                    continue;
                }
                server.write_all(chunk).await
            }
            read = server.read(&mut answers) => {
                let Ok(length @ 1..) = read else { return };
                let chunk = &answers[..length];
                is_asked = false;
                if opening == Opening::OfRequests && is_ready(chunk) {
                    opening = Opening::Done;
                }
                // Postgres and the gateway answer when a step is done: one that is answered is committed.
                if held == Some(Held::Answers) {
                    shared.is_holding.send_replace(true);
                    continue;
                }
                client.write_all(chunk).await
            }
        };
        if passed.is_err() {
            return;
        }
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
