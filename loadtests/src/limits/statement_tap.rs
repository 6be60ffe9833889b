//! Listens in on a shop's connections to Postgres, to learn the exact statements that a request runs.
//!
//! `pg_stat_statements` knows statements only without their constants and parameters, and a plan for an unknown limit
//! or key is another plan. The tap sees both. It is used before anything is measured, never during it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::postgres_messages::ClientMessages;
use crate::proxy::StoreAddress;

/// What a client sends to ask for TLS: the length of the message and a number that no version of the protocol has.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The answer "no". A client whose `sslmode` is the default then goes on without.
const NO_TLS: &[u8] = b"N";

/// A statement as it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its text, with `$1`… for its parameters.
    pub sql: String,
    /// The parameters in their text form.
    pub parameters: Vec<String>,
}

/// A proxy before Postgres that notes which statements pass it.
#[derive(Debug)]
pub struct StatementTap {
    url: String,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    executions: Vec<Execution>,
    /// The first message that could not be understood.
    fault: Option<String>,
}

impl StatementTap {
    /// Listens before the server of this URL.
    pub async fn start(database_url: &str) -> Result<StatementTap> {
        let store = StoreAddress::of(database_url)?;
        let upstream = store.resolve()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port for a tap")?;
        let url = store.replaced_by(listener.local_addr()?)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(accept(listener, upstream, Arc::clone(&seen)));
        Ok(StatementTap { url, seen, task })
    }

    /// The URL that leads through the tap.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What has passed since the last call, the product's upkeep left out.
    pub fn take(&self) -> Result<Vec<Execution>> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(fault) = seen.fault {
            bail!("the tap did not understand what the shop sent to Postgres: {fault}");
        }
        Ok(seen
            .executions
            .into_iter()
            .filter(|run| !run.sql.contains("catalog_epoch"))
            .collect())
    }
}

impl Drop for StatementTap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, seen: Arc<Mutex<Seen>>) {
    while let Ok((client, _)) = listener.accept().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            // A broken connection shows on both sides; the shop reports it.
            let _ = relay(client, upstream, &seen).await;
        });
    }
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, seen: &Mutex<Seen>) -> Result<()> {
    let mut first = [0; 8];
    client.read_exact(&mut first).await?;
    let mut server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let mut messages = ClientMessages::default();
    if first == TLS_REQUEST {
        client.write_all(NO_TLS).await?;
    } else {
        note(seen, messages.feed(&first));
        server.write_all(&first).await?;
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let requests = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from_client.read(&mut buffer).await?;
            if length == 0 {
                return to_server.shutdown().await;
            }
            note(seen, messages.feed(&buffer[..length]));
            to_server.write_all(&buffer[..length]).await?;
        }
    };
    let answers = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::try_join!(requests, answers)?;
    Ok(())
}

fn note(seen: &Mutex<Seen>, read: Result<Vec<Execution>>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match read {
        Ok(executions) => seen.executions.extend(executions),
        Err(fault) => {
            seen.fault.get_or_insert(format!("{fault:#}"));
        }
    }
}
