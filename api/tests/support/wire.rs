//! A wire to Postgres that counts what goes over it, shows the plans of what was run, and can be cut.
//!
//! It reads the protocol (<https://www.postgresql.org/docs/current/protocol-message-formats.html>), so what it counts is
//! what was sent, whatever the service says of itself. It counts a message before it passes it on: when an answer has
//! arrived, all of its request has been counted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

use super::database::Database;

pub struct Wire {
    address: SocketAddr,
    target: PgConnectOptions,
    accepting: JoinHandle<()>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    counted: Counted,
    plans: Vec<Value>,
    connections: Vec<AbortHandle>,
}

/// What went over the wire, the opening of connections apart: that depends on the server's version.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub connections: u64,
    pub statements: u64,
    /// How often a client waited until the server was ready again: once a simple query or a group of messages.
    pub round_trips: u64,
    pub bytes_from_postgres: u64,
}

impl Wire {
    pub async fn to(database: &Database) -> Self {
        let shared = Arc::default();
        let target = database.options.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            accepting: tokio::spawn(accept(listener, target.clone(), Arc::clone(&shared))),
            target,
            shared,
        }
    }

    /// What a shop connects to.
    pub fn url(&self) -> String {
        let options = self.target.clone().host("127.0.0.1").port(self.address.port());
        options.to_url_lossy().to_string()
    }

    /// What was counted since the last call.
    pub fn take_counted(&self) -> Counted {
        std::mem::take(&mut self.shared.lock().unwrap().counted)
    }

    /// The plans of the statements that were run since the last call, if the database tells them.
    pub fn take_plans(&self) -> Vec<Value> {
        std::mem::take(&mut self.shared.lock().unwrap().plans)
    }

    /// Ends all connections and takes no more: Postgres is gone.
    pub async fn cut(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        for connection in self.shared.lock().unwrap().connections.drain(..) {
            connection.abort();
        }
    }

    /// Postgres is back.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accepting = tokio::spawn(accept(listener, self.target.clone(), self.shared.clone()));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Makes the database tell the plan of each statement, as it was run, to whoever connects from now on.
pub async fn tell_plans(database: &Database) {
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
        let mut requests = Messages::of_a_client(shared.clone());
        let mut answers = Messages::of_a_server(shared.clone());
        let connection = tokio::spawn(async move {
            tokio::select! {
                () = pass(from_client, to_server, &mut requests) => {}
                () = pass(from_server, to_client, &mut answers) => {}
            }
        });
        let mut shared = shared.lock().unwrap();
        shared.counted.connections += 1;
        shared.connections.push(connection.abort_handle());
    }
}

async fn pass(
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

/// One direction of a connection, cut into messages.
struct Messages {
    is_client: bool,
    /// A client begins with a message that has no type.
    greeted: bool,
    /// The server has said for the first time that it is ready.
    ready: bool,
    unread: Vec<u8>,
    shared: Arc<Mutex<Shared>>,
}

impl Messages {
    fn of_a_client(shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            is_client: true,
            greeted: false,
            ready: true,
            unread: Vec::new(),
            shared,
        }
    }

    fn of_a_server(shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            is_client: false,
            greeted: true,
            ready: false,
            unread: Vec::new(),
            shared,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        loop {
            let type_bytes = usize::from(self.greeted);
            let Some(length) = self.unread.get(type_bytes..type_bytes + 4) else {
                return;
            };
            let whole = type_bytes + u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if self.unread.len() < whole {
                return;
            }
            let message: Vec<u8> = self.unread.drain(..whole).collect();
            if self.greeted {
                self.count(message[0], &message);
            }
            self.greeted = true;
        }
    }

    fn count(&mut self, kind: u8, message: &[u8]) {
        let mut shared = self.shared.lock().unwrap();
        // Sync, or a simple query.
        if self.is_client && matches!(kind, b'S' | b'Q') {
            shared.counted.round_trips += 1;
        }
        match (self.is_client, kind) {
            // Execute, or a simple query.
            (true, b'E' | b'Q') => shared.counted.statements += 1,
            (true, _) => {}
            (false, b'N') => shared.plans.extend(plan(&message[5..])),
            // It is ready: also after a rollback in the background, at any time.
            (false, b'Z') => self.ready = true,
            (false, _) if self.ready => shared.counted.bytes_from_postgres += message.len() as u64,
            (false, _) => {}
        }
    }
}

/// The plan that a notice tells: its field `M` reads `duration: … plan:` and then JSON.
fn plan(fields: &[u8]) -> Option<Value> {
    let text = fields
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"M"))?;
    let (_, json) = std::str::from_utf8(text).ok()?.split_once("plan:\n")?;
    serde_json::from_str(json).ok()
}
