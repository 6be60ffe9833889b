//! Tells systemd how far the process is, where it asks to be told (`Type=notify`): so `systemctl restart` returns when the
//! new process works, and not before.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What systemd is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It works.
    Ready,
    /// It has begun to go.
    Stopping,
}

/// Tells it, if it asks (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>). That it can't be told is
/// no reason not to work.
pub fn tell(news: News) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let text = match news {
        News::Ready => "READY=1",
        News::Stopping => "STOPPING=1",
    };
    // A name that begins with `@` is one of Linux's abstract ones, and no file's.
    let address = match socket.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&socket),
    };
    let told = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!(%error, ?socket, ?news, "the supervisor can't be told (NOTIFY_SOCKET)");
    }
}
