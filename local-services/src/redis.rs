//! The private Redis: its settings, its start.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;

use crate::binaries::redis_server;
use crate::place::Place;
use crate::ports::check_free;
use crate::process::{Process, Starting, clean_command};

pub(crate) const SERVER: &str = "redis";

/// For connecting, and for each answer, of a server on this machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts Redis and waits until it answers.
pub(crate) fn start(place: &Place, port: u16) -> Result<(Process, String)> {
    let program = redis_server()?;
    let directory = place.server_directory(SERVER)?;
    check_free(port, "Redis")?;
    let config = place.write_config(
        "redis.conf",
        &settings(place, port, &directory.display().to_string()),
    )?;
    let mut command = clean_command(&program, &directory);
    command.arg(config);
    Starting::spawn(place, SERVER, command, port)?.wait_until(|| version(place, port))
}

/// The server's version, asked with our password: the proof that it answers.
pub(crate) fn version(place: &Place, port: u16) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    write!(stream, "AUTH {}\r\nINFO server\r\nQUIT\r\n", place.password).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .map(str::to_owned)
}

fn settings(place: &Place, port: u16, directory: &str) -> String {
    let address = Ipv4Addr::LOCALHOST;
    let password = &place.password;
    format!(
        "\
# Written by local-services at each start: changes here are lost.

bind {address}
port {port}
requirepass {password}
daemonize no
dir \"{directory}\"
# Each shop, each side of a comparison and each test has a logical database of its own.
databases 256

# It is a cache: nothing in it is worth a file, and a snapshot in the middle of a measurement would disturb it.
save \"\"
appendonly no
# Bounded, and full it forgets what was not read for long.
maxmemory 512mb
maxmemory-policy allkeys-lru
"
    )
}
