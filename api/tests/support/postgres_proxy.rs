//! A proxy in front of Postgres that counts the traffic, collects query plans, and can simulate an outage.
//!
//! It parses the protocol (<https://www.postgresql.org/docs/current/protocol-message-formats.html>), so its
//! counts are independent of those that the service reports. It counts a message before it forwards it. So
//! once a response has arrived, all messages of its request have been counted.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tcp_proxy::postgres::MessageReader;
use tcp_proxy::{Direction, Proxy, Verdict};

use super::database::Database;

pub struct PostgresProxy {
    proxy: Proxy,
    url: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    traffic: Traffic,
    plans: Vec<Value>,
}

/// The traffic without connection startup, which depends on the server's version.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub connections: u64,
    pub statements: u64,
    /// How often a client waited until the server was ready again: once per simple query or group of messages
    /// (pipeline).
    pub round_trips: u64,
    pub bytes_from_postgres: u64,
}

impl PostgresProxy {
    pub fn start(database: &Database) -> Self {
        let shared = Arc::<Mutex<Shared>>::default();
        let counted = Arc::clone(&shared);
        let proxy = Proxy::inspecting(&database.url(), move || {
            let mut connection = Connection::new(Arc::clone(&counted));
            move |direction, bytes| {
                connection.count(direction, bytes);
                Verdict::Forward
            }
        })
        .unwrap();
        Self {
            url: proxy.through(&database.url()).unwrap(),
            proxy,
            shared,
        }
    }

    /// The URL that a shop connects to.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The traffic since the last call.
    pub fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut self.shared.lock().unwrap().traffic)
    }

    /// The plans of the statements since the last call, if [`log_plans`] is on.
    pub fn take_plans(&self) -> Vec<Value> {
        std::mem::take(&mut self.shared.lock().unwrap().plans)
    }

    /// Simulates an outage: closes all connections and accepts no new ones.
    pub fn cut(&self) {
        self.proxy.cut();
    }

    /// Ends the outage.
    pub fn restore(&self) {
        self.proxy.restore().unwrap();
    }
}

/// Enables `auto_explain` for new connections: the database sends the plan of each executed statement as a
/// notice.
pub async fn log_plans(database: &Database) {
    for (setting, value) in [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_format", "json"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_buffers", "on"),
        ("auto_explain.log_timing", "off"),
        ("auto_explain.log_level", "notice"),
    ] {
        let sql = format!("alter database {} set {setting} = '{value}'", database.name());
        database.execute(&sql).await;
    }
}

/// The messages of a connection.
struct Connection {
    requests: MessageReader,
    responses: MessageReader,
    /// Whether the server has sent its first ReadyForQuery.
    ready: bool,
    shared: Arc<Mutex<Shared>>,
}

impl Connection {
    fn new(shared: Arc<Mutex<Shared>>) -> Self {
        shared.lock().unwrap().traffic.connections += 1;
        Self {
            requests: MessageReader::of_client(),
            responses: MessageReader::of_server(),
            ready: false,
            shared,
        }
    }

    fn count(&mut self, direction: Direction, bytes: &[u8]) {
        let Shared { traffic, plans } = &mut *self.shared.lock().unwrap();
        if direction == Direction::Requests {
            for (kind, _) in self.requests.feed(bytes) {
                // Execute, or a simple query.
                traffic.statements += u64::from(matches!(kind, b'E' | b'Q'));
                // Sync, or a simple query.
                traffic.round_trips += u64::from(matches!(kind, b'S' | b'Q'));
            }
            return;
        }
        for (kind, message) in self.responses.feed(bytes) {
            match kind {
                b'N' => plans.extend(plan(&message)),
                // ReadyForQuery. It can come at any time, also after a rollback in the background.
                b'Z' => self.ready = true,
                // With its type and its length.
                _ if self.ready => traffic.bytes_from_postgres += message.len() as u64 + 5,
                _ => {}
            }
        }
    }
}

/// Parses the plan in a notice, whose field `M` reads `duration: … plan:` followed by JSON.
fn plan(fields: &[u8]) -> Option<Value> {
    let text = fields
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"M"))?;
    let (_, json) = std::str::from_utf8(text).ok()?.split_once("plan:\n")?;
    serde_json::from_str(json).ok()
}
