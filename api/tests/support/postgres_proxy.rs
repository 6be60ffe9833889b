//! A proxy in front of Postgres that counts the traffic, collects query plans, and can simulate an outage.
//!
//! It parses the protocol (<https://www.postgresql.org/docs/current/protocol-message-formats.html>), so its
//! counts are independent of those that the service reports. It counts a message before it forwards it. So
//! once a response has arrived, all messages of its request have been counted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

use super::database::Database;

pub struct PostgresProxy {
    address: SocketAddr,
    target: PgConnectOptions,
    acceptor: JoinHandle<()>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    traffic: Traffic,
    plans: Vec<Value>,
    connections: Vec<AbortHandle>,
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
    pub async fn start(database: &Database) -> Self {
        let shared = Arc::default();
        let target = database.options.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            acceptor: tokio::spawn(accept(listener, target.clone(), Arc::clone(&shared))),
            target,
            shared,
        }
    }

    /// The URL that a shop connects to.
    pub fn url(&self) -> String {
        let options = self.target.clone().host("127.0.0.1").port(self.address.port());
        options.to_url_lossy().to_string()
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
    pub async fn cut(&mut self) {
        self.acceptor.abort();
        let _ = (&mut self.acceptor).await;
        for connection in self.shared.lock().unwrap().connections.drain(..) {
            connection.abort();
        }
    }

    /// Ends the outage.
    pub async fn restore(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.acceptor = tokio::spawn(accept(listener, self.target.clone(), self.shared.clone()));
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
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

async fn accept(listener: TcpListener, target: PgConnectOptions, shared: Arc<Mutex<Shared>>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect((target.get_host(), target.get_port())).await;
        let server = server.expect("Postgres listens on TCP");
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let mut requests = Messages::sent_by_client(shared.clone());
        let mut responses = Messages::sent_by_server(shared.clone());
        let connection = tokio::spawn(async move {
            tokio::select! {
                () = forward(from_client, to_server, &mut requests) => {}
                () = forward(from_server, to_client, &mut responses) => {}
            }
        });
        let mut shared = shared.lock().unwrap();
        shared.traffic.connections += 1;
        shared.connections.push(connection.abort_handle());
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    messages: &mut Messages,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        messages.read(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}

/// The messages in one direction of a connection.
struct Messages {
    is_client: bool,
    /// The first message of a client, the startup message, has no type byte.
    startup_done: bool,
    /// Whether the server has sent its first ReadyForQuery.
    ready: bool,
    buffered: Vec<u8>,
    shared: Arc<Mutex<Shared>>,
}

impl Messages {
    fn sent_by_client(shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            is_client: true,
            startup_done: false,
            ready: true,
            buffered: Vec::new(),
            shared,
        }
    }

    fn sent_by_server(shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            is_client: false,
            startup_done: true,
            ready: false,
            buffered: Vec::new(),
            shared,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.buffered.extend_from_slice(bytes);
        loop {
            let type_bytes = usize::from(self.startup_done);
            let Some(length) = self.buffered.get(type_bytes..type_bytes + 4) else {
                return;
            };
            let whole = type_bytes + u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if self.buffered.len() < whole {
                return;
            }
            let message: Vec<u8> = self.buffered.drain(..whole).collect();
            if self.startup_done {
                self.count(message[0], &message);
            }
            self.startup_done = true;
        }
    }

    fn count(&mut self, kind: u8, message: &[u8]) {
        let mut shared = self.shared.lock().unwrap();
        // Sync, or a simple query.
        if self.is_client && matches!(kind, b'S' | b'Q') {
            shared.traffic.round_trips += 1;
        }
        match (self.is_client, kind) {
            // Execute, or a simple query.
            (true, b'E' | b'Q') => shared.traffic.statements += 1,
            (true, _) => {}
            (false, b'N') => shared.plans.extend(plan(&message[5..])),
            // ReadyForQuery. It can come at any time, also after a rollback in the background.
            (false, b'Z') => self.ready = true,
            (false, _) if self.ready => shared.traffic.bytes_from_postgres += message.len() as u64,
            (false, _) => {}
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
