//! Where customers connect: a socket of our own, or one that was handed over by who started the process.
//!
//! A socket that is closed refuses whom it should have taken, and resets those who wait in its queue. So a process can't
//! hand its customers to the next one without losing any, unless the socket outlives both. Then it belongs to their
//! parent: systemd with a `.socket` unit (`deploy/systemd/`), or any program that keeps it open. It is handed over by
//! systemd's protocol (<https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>): `LISTEN_FDS=1` says
//! that file descriptor 3 is a listening socket, `LISTEN_PID` for whom. `BACKSTOCK_LISTEN` is left aside then.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// Connections that wait to be taken, at most; what the system allows may be less.
const BACKLOG: u32 = 1024;

/// A socket that takes nobody yet.
pub enum Door {
    /// Bound, so that a port in use is noticed at once, and not listening: who comes now is refused, and goes elsewhere.
    Own(TcpSocket),
    /// Listening since before this process: who comes now waits.
    HandedOver(TcpListener),
}

impl Door {
    /// The socket that was handed over, or one at this address.
    ///
    /// # Errors
    /// When the address is in use, or what was handed over is no listening TCP socket; the message says what to do.
    pub fn find(address: SocketAddr) -> anyhow::Result<Self> {
        let mut handed_over = ListenFd::from_env();
        if handed_over.len() == 0 {
            let bound = Self::bind(address).with_context(|| cannot_listen(address))?;
            return Ok(Self::Own(bound));
        }
        let one_socket =
            "the process was handed something else (LISTEN_FDS) than one TCP socket for customers";
        ensure!(handed_over.len() == 1, one_socket);
        let listener = handed_over.take_tcp_listener(0).context(one_socket)?;
        let listener = listener.context(one_socket)?;
        listener.set_nonblocking(true)?;
        Ok(Self::HandedOver(TcpListener::from_std(listener)?))
    }

    fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // Connections of a process that ended don't keep the next one from the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    }

    /// Whether it outlives this process.
    pub fn is_handed_over(&self) -> bool {
        matches!(self, Self::HandedOver(_))
    }

    /// Takes customers from now on, until `closing` comes true.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(self, closing: watch::Receiver<bool>) -> anyhow::Result<Listener> {
        let socket = match self {
            Self::Own(socket) => {
                let address = socket.local_addr()?;
                socket.listen(BACKLOG).with_context(|| cannot_listen(address))?
            }
            Self::HandedOver(listener) => listener,
        };
        Ok(Listener {
            address: socket.local_addr()?,
            socket: Some(socket),
            closing,
        })
    }
}

fn cannot_listen(address: SocketAddr) -> String {
    format!("can't listen on {address}; set BACKSTOCK_LISTEN to a free address, for example 127.0.0.1:0")
}

/// An open door, which can be closed while those who are inside are served on: axum's own closes when they are sent home.
pub struct Listener {
    address: SocketAddr,
    socket: Option<TcpListener>,
    closing: watch::Receiver<bool>,
}

impl Listener {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(socket) = &mut self.socket {
            tokio::select! {
                taken = axum::serve::Listener::accept(socket) => return taken,
                _ = self.closing.wait_for(|closing| *closing) => {}
            }
        }
        self.socket = None;
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
