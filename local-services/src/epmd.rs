//! Erlang's port mapper, which knows on which port an Erlang node such as RabbitMQ's listens.
//!
//! Ours is a process of ours on a port of its own. An Erlang node that finds none starts one by itself, in the
//! background, where nobody would ever stop it: so ours must answer before RabbitMQ starts.
//!
//! The requests are those of Erlang's distribution protocol: a length in 2 bytes, then a letter.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::binaries;
use crate::place::Place;
use crate::ports::check_free;
use crate::process::{Process, Starting, clean_command};

pub(crate) const SERVER: &str = "epmd";

const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the port mapper unless it runs, and waits until it answers.
pub(crate) fn start(place: &Place, port: u16) -> Result<()> {
    if Process::find(place, SERVER).is_some_and(|process| process.port == port) && answers(port) {
        return Ok(());
    }
    if answers(port) {
        end_stray(port);
    }
    check_free(port, "RabbitMQ (epmd)")?;
    let directory = place.server_directory(crate::rabbitmq::SERVER)?;
    let mut command = clean_command(&binaries::epmd()?, &directory);
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    Starting::spawn(place, SERVER, command, port)?.wait_until(|| answers(port).then_some(()))?;
    Ok(())
}

/// Whether a port mapper lists its nodes there.
fn answers(port: u16) -> bool {
    // The answer begins with the mapper's own port.
    ask(port, b'n').is_some_and(|answer| answer.starts_with(&u32::from(port).to_be_bytes()))
}

/// A port mapper on our port that is not on record was left by a node. It ends on request when it knows no node.
fn end_stray(port: u16) {
    let _ = ask(port, b'k');
    for _ in 0..50 {
        if !answers(port) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn ask(port: u16, request: u8) -> Option<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    stream.write_all(&[0, 1, request]).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}
