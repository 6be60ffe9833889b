//! A health check without a shell: `backstock-api health`, `backstock-worker health`.
//!
//! A distroless image contains only the program, so there is no `curl`. The program checks the process that
//! runs on the same host over its internal listener, prints one line, and exits with 0 or 1.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The time limit of the whole check. Longer than a readiness probe waits for a dependency, so that the
/// response can name the dependency that failed.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// A longer response isn't one of `/readyz`.
const MAX_RESPONSE_BYTES: u64 = 16 * 1024;

/// Requests `/readyz` of the process that listens there, prints the response, and returns the exit code.
pub fn run(internal_listen: SocketAddr) -> ExitCode {
    match get(reachable(internal_listen), "/readyz", DEADLINE) {
        Ok((200, body)) => {
            println!("{}", body.trim());
            ExitCode::SUCCESS
        }
        Ok((status, body)) => {
            eprintln!("{status}: {}", body.trim());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{internal_listen} (BACKSTOCK_INTERNAL_LISTEN): {error}");
            ExitCode::FAILURE
        }
    }
}

/// A process may listen on all addresses; on the same host, it is reached over loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Sends `GET path`, and returns status and body.
///
/// # Errors
/// When the port is closed, the response isn't HTTP/1.1, or the response isn't complete in time.
fn get(address: SocketAddr, path: &str, deadline: Duration) -> io::Result<(u16, String)> {
    let started = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, deadline)?;
    stream.set_write_timeout(Some(deadline))?;
    // One write, so that it is one packet.
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    loop {
        // The socket's timeout bounds a single read; a server that trickles bytes must not extend the whole.
        let left = deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no response in time"));
        }
        stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => response.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no response in time"));
            }
            Err(error) => return Err(error),
        }
        if response.len() as u64 > MAX_RESPONSE_BYTES {
            break;
        }
    }
    let response = String::from_utf8_lossy(&response);
    let status = response
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let status =
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the response is not HTTP/1.1"))?;
    let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A server for one connection, which reads the request and then calls `respond`.
    fn server(respond: impl FnOnce(&mut TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            respond(&mut stream);
        });
        address
    }

    fn get_readyz(address: SocketAddr) -> io::Result<(u16, String)> {
        get(address, "/readyz", Duration::from_millis(300))
    }

    #[test]
    fn status_and_body_are_those_of_the_response() {
        let address = server(|stream| {
            let response = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 8\r\n\r\npostgres";
            stream.write_all(response.as_bytes()).unwrap();
        });
        assert_eq!(get_readyz(address).unwrap(), (503, "postgres".to_owned()));
    }

    #[test]
    fn a_silent_or_trickling_server_times_out_at_the_deadline() {
        let silent = server(|stream| {
            // Until the client disconnects.
            let _ = stream.read(&mut [0]);
        });
        let trickling = server(|stream| {
            while stream.write_all(b"H").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        for address in [silent, trickling] {
            let started = Instant::now();
            let error = get_readyz(address).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            assert!(started.elapsed() < Duration::from_secs(2));
        }
    }

    #[test]
    fn a_closed_port_and_another_protocol_are_errors() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        assert_eq!(
            get_readyz(free).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let mail = server(|stream| stream.write_all(b"220 mail ready\r\n").unwrap());
        assert_eq!(get_readyz(mail).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_over_loopback() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9080"), "127.0.0.1:9080");
        assert_eq!(reached("[::]:9080"), "[::1]:9080");
        assert_eq!(reached("10.1.2.3:9080"), "10.1.2.3:9080");
    }
}
