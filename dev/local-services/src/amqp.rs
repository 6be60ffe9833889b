//! An AMQP 0-9-1 handshake: the readiness check of a broker, and the check that a virtual host exists.
//!
//! RabbitMQ opens its port before it can serve, so an open port doesn't show readiness. The complete handshake does:
//! `start`, `tune`, `open`, `close`. The layouts are those of the specification, section 4.2.3 (frames) and class
//! `connection`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The timeout of the connect and of each read. A broker delays its response to a wrong password by a second.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Above the size of any frame of the handshake.
const MAX_FRAME_BYTES: u32 = 128 << 10;

const CONNECTION: u16 = 10;
const START: u16 = 10;
const START_OK: u16 = 11;
const TUNE: u16 = 30;
const TUNE_OK: u16 = 31;
const OPEN: u16 = 40;
const OPEN_OK: u16 = 41;
const CLOSE: u16 = 50;

/// The result of the handshake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The virtual host was opened. Contains the broker's version.
    Opened { version: String },
    /// The broker rejected the credentials or the virtual host.
    Rejected { reason: String },
}

/// Opens a connection to the virtual host and closes it.
pub(crate) fn check_vhost(address: &str, user: &str, password: &str, vhost: &str) -> io::Result<Handshake> {
    let target = address
        .to_socket_addrs()?
        .next()
        .ok_or(ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&target, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    let start = match read_method(&mut stream)? {
        (START, arguments) => arguments,
        (method, _) => return Err(unexpected(method)),
    };
    send_start_ok(&mut stream, user, password)?;
    let limits = match read_method(&mut stream)? {
        (TUNE, arguments) => arguments,
        (CLOSE, arguments) => return Ok(rejected(&arguments)),
        (method, _) => return Err(unexpected(method)),
    };
    send_method(&mut stream, TUNE_OK, &limits)?; // Accepts the broker's limits.
    let mut open = Vec::new();
    push_short_text(&mut open, vhost);
    open.extend([0, 0]); // Two reserved fields.
    send_method(&mut stream, OPEN, &open)?;
    match read_method(&mut stream)? {
        (OPEN_OK, _) => {}
        (CLOSE, arguments) => return Ok(rejected(&arguments)),
        (method, _) => return Err(unexpected(method)),
    }
    let mut close = 200_u16.to_be_bytes().to_vec();
    push_short_text(&mut close, "handshake check");
    close.extend([0; 4]); // No failed method.
    send_method(&mut stream, CLOSE, &close)?;
    let _ = read_method(&mut stream); // Reads `close-ok`, so that the broker logs no aborted connection.
    Ok(Handshake::Opened {
        version: version(&start),
    })
}

fn send_start_ok(stream: &mut TcpStream, user: &str, password: &str) -> io::Result<()> {
    let mut arguments = vec![0; 4]; // Empty client properties.
    push_short_text(&mut arguments, "PLAIN");
    let response = format!("\0{user}\0{password}");
    let length = u32::try_from(response.len()).map_err(io::Error::other)?;
    arguments.extend(length.to_be_bytes());
    arguments.extend(response.as_bytes());
    push_short_text(&mut arguments, "en_US");
    send_method(stream, START_OK, &arguments)
}

fn send_method(stream: &mut TcpStream, method: u16, arguments: &[u8]) -> io::Result<()> {
    let size = u32::try_from(arguments.len() + 4).map_err(io::Error::other)?;
    let mut frame = vec![1, 0, 0]; // A method frame on channel 0.
    frame.extend(size.to_be_bytes());
    frame.extend(CONNECTION.to_be_bytes());
    frame.extend(method.to_be_bytes());
    frame.extend(arguments);
    frame.push(0xce);
    stream.write_all(&frame)
}

fn read_method(stream: &mut TcpStream) -> io::Result<(u16, Vec<u8>)> {
    let mut header = [0; 7];
    stream.read_exact(&mut header)?;
    let size = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
    if header[0] != 1 || !(4..=MAX_FRAME_BYTES).contains(&size) {
        return Err(io::Error::new(ErrorKind::InvalidData, "not an AMQP 0-9-1 broker"));
    }
    let mut payload = vec![0; size as usize + 1];
    stream.read_exact(&mut payload)?;
    let method = u16::from_be_bytes([payload[2], payload[3]]);
    Ok((method, payload[4..payload.len() - 1].to_vec()))
}

fn push_short_text(arguments: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    arguments.push(u8::try_from(bytes.len()).expect("cut to 255 bytes above"));
    arguments.extend(bytes);
}

/// `close` carries a code (2 bytes) and a short text.
fn rejected(arguments: &[u8]) -> Handshake {
    let length = arguments.get(2).copied().map_or(0, usize::from);
    let text = arguments.get(3..3 + length).unwrap_or_default();
    Handshake::Rejected {
        reason: String::from_utf8_lossy(text).into_owned(),
    }
}

/// From the table of server properties: the name as a short text, `S`, the length in 4 bytes, the value.
fn version(start: &[u8]) -> String {
    const NAME: &[u8] = b"\x07versionS";
    let found = start
        .windows(NAME.len())
        .position(|window| window == NAME)
        .map(|at| &start[at + NAME.len()..]);
    let value = found.and_then(|rest| {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        rest.get(..u32::from_be_bytes(*length) as usize)
    });
    value.map_or_else(
        || "of unknown version".to_owned(),
        |value| String::from_utf8_lossy(value).into_owned(),
    )
}

fn unexpected(method: u16) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("the broker answered with method {method}"),
    )
}
