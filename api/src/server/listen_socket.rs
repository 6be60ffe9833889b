//! The public listening socket: bound by this process, or inherited from its parent (socket activation).
//!
//! Closing a listening socket refuses new connections and resets those in its accept queue. A restart loses no
//! connection only if the socket outlives both processes, so it belongs to their parent: systemd with a `.socket`
//! unit (`deploy/systemd/`), or any program that keeps it open. The socket is passed by systemd's protocol
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>): `LISTEN_FDS=1` says that file
//! descriptor 3 is a listening socket, `LISTEN_PID` names the process that it is for. `BACKSTOCK_LISTEN` is ignored
//! then.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// The accept queue's length; the system's limit may be lower.
const BACKLOG: u32 = 1024;

/// A socket that accepts no connections yet.
pub enum ListenSocket {
    /// Bound but not listening: a port in use is noticed at once, and clients are refused until the process is ready,
    /// so that they try another one.
    Own(TcpSocket),
    /// Listening since before this process started: new connections queue until the process is ready.
    Inherited(TcpListener),
}

impl ListenSocket {
    /// The inherited socket, or a new one bound to this address.
    ///
    /// # Errors
    /// When the address is in use, or what was inherited is not one listening TCP socket.
    pub fn bind_or_inherit(address: SocketAddr) -> anyhow::Result<Self> {
        let mut inherited = ListenFd::from_env();
        if inherited.len() == 0 {
            let bound = Self::bind(address).with_context(|| cannot_listen(address))?;
            return Ok(Self::Own(bound));
        }
        let one_socket =
            "the process inherited something other than one TCP socket for customers (LISTEN_FDS)";
        ensure!(inherited.len() == 1, one_socket);
        let listener = inherited.take_tcp_listener(0).context(one_socket)?;
        let listener = listener.context(one_socket)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Inherited(TcpListener::from_std(listener)?))
    }

    fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // Connections of an earlier process in TIME_WAIT don't block the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    }

    /// Whether it outlives this process.
    pub fn is_inherited(&self) -> bool {
        matches!(self, Self::Inherited(_))
    }

    /// Listens until `closing` becomes true.
    ///
    /// # Errors
    /// When the system refuses to listen.
    pub fn listen(self, closing: watch::Receiver<bool>) -> anyhow::Result<Listener> {
        let socket = match self {
            Self::Own(socket) => {
                let address = socket.local_addr()?;
                socket.listen(BACKLOG).with_context(|| cannot_listen(address))?
            }
            Self::Inherited(listener) => listener,
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

/// A listening socket that can be closed while accepted connections are still served; axum's own closes only at the
/// end of the drain.
pub struct Listener {
    address: SocketAddr,
    socket: Option<TcpListener>,
    closing: watch::Receiver<bool>,
}

impl Listener {
    /// Where it listens: the port that the system chose, if none was given.
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
