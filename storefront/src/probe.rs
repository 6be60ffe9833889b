//! Asks a process of ours how it is, as a health check without a shell: `backstock-api health`, `backstock-worker health`.
//!
//! An image with nothing but a program in it has no `curl`. So the program asks itself: it goes to the internal listener
//! of the process that runs beside it, says in one line what it heard, and ends with 0 or 1.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long connecting and answering may take together. Longer than a readiness probe waits for a dependency, so that
/// its answer names the one that doesn't.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// More than any answer about health has; what is longer is no answer of ours.
const LONGEST_ANSWER_BYTES: u64 = 16 * 1024;

/// Asks `/readyz` of the process that listens there, prints what it says, and gives the exit code.
pub fn report(internal_listen: SocketAddr) -> ExitCode {
    match ask(reachable(internal_listen), "/readyz", DEADLINE) {
        Ok((200, answer)) => {
            println!("{}", answer.trim());
            ExitCode::SUCCESS
        }
        Ok((status, answer)) => {
            eprintln!("{status}: {}", answer.trim());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{internal_listen} (BACKSTOCK_INTERNAL_LISTEN): {error}");
            ExitCode::FAILURE
        }
    }
}

/// A process may listen on all addresses of its machine; from beside it, it is reached over loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The status and body of `GET path`.
///
/// # Errors
/// When nobody listens, what answers speaks no HTTP/1.1, or the answer isn't complete in time.
fn ask(address: SocketAddr, path: &str, deadline: Duration) -> io::Result<(u16, String)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, deadline)?;
    stream.set_write_timeout(Some(deadline))?;
    // As one write: in pieces it would be several packets.
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    loop {
        // A timeout bounds one reading; a server that trickles must not stretch the whole.
        let left = deadline.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        }
        stream.set_read_timeout(Some(left))?;
        let mut part = [0; 1024];
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
            }
            Err(error) => return Err(error),
        }
        if answer.len() as u64 > LONGEST_ANSWER_BYTES {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let status =
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP/1.1"))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A server for one connection, that reads the request and then does this.
    fn server(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            answer(&mut stream);
        });
        address
    }

    fn ask_it(address: SocketAddr) -> io::Result<(u16, String)> {
        ask(address, "/readyz", Duration::from_millis(300))
    }

    #[test]
    fn status_and_body_are_those_of_the_answer() {
        let address = server(|stream| {
            let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 8\r\n\r\npostgres";
            stream.write_all(answer.as_bytes()).unwrap();
        });
        assert_eq!(ask_it(address).unwrap(), (503, "postgres".to_owned()));
    }

    #[test]
    fn what_is_silent_or_trickles_is_given_up_at_the_deadline() {
        let silent = server(|stream| {
            // Until the client has gone.
            let _ = stream.read(&mut [0]);
        });
        let trickling = server(|stream| {
            while stream.write_all(b"H").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        for address in [silent, trickling] {
            let begun = Instant::now();
            let error = ask_it(address).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(2));
        }
    }

    #[test]
    fn nobody_and_another_protocol_are_errors() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        assert_eq!(ask_it(free).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let mail = server(|stream| stream.write_all(b"220 mail ready\r\n").unwrap());
        assert_eq!(ask_it(mail).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_over_loopback() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9080"), "127.0.0.1:9080");
        assert_eq!(reached("[::]:9080"), "[::1]:9080");
        assert_eq!(reached("10.1.2.3:9080"), "10.1.2.3:9080");
    }
}
