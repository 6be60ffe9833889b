//! Tells systemd how far the process is, where it asks to be told (`Type=notify`): so `systemctl restart` returns when the
//! new process works, and not before.

use std::env;
use std::os::unix::net::UnixDatagram;

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
    let told = UnixDatagram::unbound().and_then(|sender| sender.send_to(text.as_bytes(), &socket));
    if let Err(error) = told {
        tracing::warn!(%error, ?socket, ?news, "the supervisor can't be told (NOTIFY_SOCKET)");
    }
}
