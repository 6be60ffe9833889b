//! Erlang's port mapper daemon (epmd), where an Erlang node such as RabbitMQ registers its port.
//!
//! It runs as a managed process on its own port. An Erlang node that finds no port mapper starts one in the background,
//! which would never be stopped, so the managed one must answer before RabbitMQ starts.
//!
//! A request is its length in 2 bytes, followed by a letter (Erlang distribution protocol).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::binaries;
use crate::data_dirs::DataDirs;
use crate::ports::check_free;
use crate::process::{Process, StartingServer, clean_command};

pub(crate) const SERVER: &str = "epmd";

const TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the port mapper unless it is running, and waits until it is ready.
pub(crate) fn start(dirs: &DataDirs, directory: &Path, port: u16) -> Result<()> {
    if Process::find(dirs, SERVER).is_some_and(|process| process.port == port) && answers(port) {
        return Ok(());
    }
    if answers(port) {
        stop_stray(port);
    }
    check_free(port, "RabbitMQ (epmd)")?;
    let mut command = clean_command(&binaries::epmd()?, directory);
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    StartingServer::spawn(dirs, SERVER, command, port)?.wait_until(|| answers(port).then_some(()))?;
    Ok(())
}

/// Whether a port mapper answers on the port.
fn answers(port: u16) -> bool {
    // The response to NAMES_REQ begins with the mapper's own port.
    request(port, b'n').is_some_and(|response| response.starts_with(&u32::from(port).to_be_bytes()))
}

/// Stops an unmanaged port mapper that an Erlang node has left on the port. It obeys KILL_REQ when no node is
/// registered.
fn stop_stray(port: u16) {
    let _ = request(port, b'k');
    for _ in 0..50 {
        if !answers(port) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn request(port: u16, letter: u8) -> Option<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.write_all(&[0, 1, letter]).ok()?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).ok()?;
    Some(response)
}
