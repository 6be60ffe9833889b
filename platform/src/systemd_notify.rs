//! Notifies systemd of startup and shutdown (`Type=notify`), so that `systemctl restart` returns when the new
//! process is ready.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The states that systemd is notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    Ready,
    Stopping,
}

/// Sends a state, if systemd expects one
/// (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>). A failure is only logged.
pub fn notify(state: ServiceState) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let text = match state {
        ServiceState::Ready => "READY=1",
        ServiceState::Stopping => "STOPPING=1",
    };
    // `@` marks a name in Linux's abstract socket namespace.
    let address = match socket.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&socket),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, ?socket, ?state, "systemd can't be notified (NOTIFY_SOCKET)");
    }
}
