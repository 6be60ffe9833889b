//! A line to the broker that can be held at a defined moment: what is sent then is swallowed, and nobody is told.
//!
//! That is how a machine looks whose network goes just before it dies. Read next: `compare/trials/killed.rs`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::proxy::StoreAddress;

/// What is swallowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// What clients send: the broker hears nothing.
    Requests,
    /// What the broker answers: it hears, and nobody knows.
    Answers,
}

/// A forwarder in front of the broker. Dropping it closes its connections.
#[derive(Debug)]
pub struct Line {
    url: String,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

/// Connections of an earlier number are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    held: Held,
    number: u64,
}

impl Line {
    /// Listens in front of the broker of this URL.
    pub async fn start(amqp_url: &str) -> Result<Line> {
        let broker = StoreAddress::of(amqp_url)?;
        let upstream = broker.resolve()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port for a line to the broker")?;
        let url = broker.replaced_by(listener.local_addr()?)?;
        let (state, watched) = watch::channel(State {
            held: Held::Nothing,
            number: 0,
        });
        let task = tokio::spawn(accept(listener, upstream, watched));
        Ok(Line { url, state, task })
    }

    /// The URL that leads through the line.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on this is swallowed.
    pub fn hold(&self, held: Held) {
        self.state.send_modify(|state| state.held = held);
    }

    /// Closes every connection, since what was swallowed is gone, and lets new ones through.
    pub fn mend(&self) {
        self.state.send_modify(|state| {
            state.held = Held::Nothing;
            state.number += 1;
        });
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, state: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(relay(client, upstream, state.clone()));
    }
}

async fn relay(client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<State>) {
    let number = state.borrow_and_update().number;
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let watched = Arc::new(state.clone());
    let requests = carry(
        from_client,
        to_server,
        Held::Requests,
        number,
        Arc::clone(&watched),
    );
    let answers = carry(from_server, to_client, Held::Answers, number, watched);
    tokio::select! {
        () = requests => {}
        () = answers => {}
        // An error says that the line itself is gone.
        _ = state.wait_for(|state| state.number != number) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    held: Held,
    number: u64,
    state: Arc<watch::Receiver<State>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let (swallows, is_mended) = {
            let state = state.borrow();
            (state.held == held, state.number != number)
        };
        // What comes late on a connection of before is gone as well, whoever notices first that it is to be closed.
        if is_mended || !swallows && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
