//! A minimal HTTP/1.1 client for readiness checks, to avoid a client library.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The status of `GET path`.
pub(crate) async fn get(port: u16, path: &str) -> Result<u16> {
    exchange(port, &format!("GET {path} HTTP/1.1\r\n"), "").await
}

/// The status of `POST path` with a JSON body.
pub(crate) async fn post_json(port: u16, path: &str, body: &str) -> Result<u16> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
    exchange(port, &head, body).await
}

async fn exchange(port: u16, head: &str, body: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("{head}host: 127.0.0.1\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    status(&response).context("the response is no HTTP/1.1")
}

fn status(response: &[u8]) -> Option<u16> {
    let digits = response.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 201 Created\r\n\r\n{}"), Some(201));
        assert_eq!(status(b"HTTP/1.1 20"), None);
        assert_eq!(status(b"220 mail ready\r\n"), None);
    }
}
