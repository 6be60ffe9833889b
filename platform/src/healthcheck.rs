//! A health check without a shell: `backstock-api health`, `backstock-worker health`.
//!
//! A distroless image contains only the program, so there is no `curl`. The program checks the process that
//! runs on the same host over its internal listener, prints one line, and exits with 0 or 1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The time limit of the whole check. Longer than a readiness probe waits for a dependency, so that the
/// response can name the dependency that failed.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// A longer response isn't one of `/readyz`.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;

/// Requests `/readyz` of the process that listens there, prints the response, and returns the exit code.
pub fn run(internal_listen: SocketAddr) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let checked = runtime
        .map_err(BoxError::from)
        .and_then(|runtime| runtime.block_on(get_in_time(reachable(internal_listen), DEADLINE)));
    match checked {
        Ok((StatusCode::OK, body)) => {
            println!("{}", body.trim());
            ExitCode::SUCCESS
        }
        Ok((status, body)) => {
            eprintln!("{}: {}", status.as_u16(), body.trim());
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

/// The deadline bounds the whole exchange, so a server that trickles bytes can't extend it.
async fn get_in_time(address: SocketAddr, deadline: Duration) -> Result<(StatusCode, String), BoxError> {
    let response = tokio::time::timeout(deadline, get(address, "/readyz")).await;
    response.unwrap_or_else(|_| Err("no response in time".into()))
}

/// Sends `GET path`, and returns status and body.
async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, String), BoxError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .body(Body::empty())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = to_bytes(Body::new(body), MAX_RESPONSE_BYTES).await?;
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Instant;

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

    async fn get_readyz(address: SocketAddr) -> Result<(u16, String), String> {
        let response = get_in_time(address, Duration::from_millis(300)).await;
        response
            .map(|(status, body)| (status.as_u16(), body))
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn status_and_body_are_those_of_the_response() {
        let address = server(|stream| {
            let response = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 8\r\n\r\npostgres";
            stream.write_all(response.as_bytes()).unwrap();
        });
        assert_eq!(get_readyz(address).await.unwrap(), (503, "postgres".to_owned()));
    }

    #[tokio::test]
    async fn a_silent_or_trickling_server_times_out_at_the_deadline() {
        let silent = server(|stream| {
            // Until the client disconnects.
            let _ = stream.read(&mut [0]);
        });
        let trickling = server(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").unwrap();
            while stream.write_all(b"y").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        for address in [silent, trickling] {
            let started = Instant::now();
            assert_eq!(get_readyz(address).await.unwrap_err(), "no response in time");
            assert!(started.elapsed() < Duration::from_secs(2));
        }
    }

    #[tokio::test]
    async fn a_closed_port_and_another_protocol_are_errors() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        let refused = get_readyz(free).await.unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
        let mail = server(|stream| stream.write_all(b"220 mail ready\r\n").unwrap());
        let another = get_readyz(mail).await.unwrap_err();
        assert!(another.contains("invalid HTTP"), "{another}");
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_over_loopback() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9080"), "127.0.0.1:9080");
        assert_eq!(reached("[::]:9080"), "[::1]:9080");
        assert_eq!(reached("10.1.2.3:9080"), "10.1.2.3:9080");
    }
}
