//! One request at a time, with the whole answer: for counting and comparing, never for timing.

use std::io::Read;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT_ENCODING, HOST};
use hyper::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const DECODED_AT_ONCE_BYTES: usize = 16 * 1024;

/// A kept-alive connection.
pub struct Client {
    host: String,
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

/// What came back.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it was sent.
    pub body: Bytes,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // A connection that breaks shows at the next request.
            let _ = connection.await;
        });
        Ok(Self {
            host: address.to_string(),
            sender,
            driver,
        })
    }

    /// Asks for a path and waits for the last byte.
    pub async fn get(&mut self, path: &str, accept_encoding: Option<&str>) -> Result<Answer> {
        let mut request = hyper::Request::get(path).header(HOST, &self.host);
        if let Some(encodings) = accept_encoding {
            request = request.header(ACCEPT_ENCODING, encodings);
        }
        self.sender.ready().await?;
        let response = self
            .sender
            .send_request(request.body(Empty::new())?)
            .await
            .with_context(|| format!("GET {path}"))?;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .with_context(|| format!("GET {path}"))?
            .to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Answer {
    /// A header as text, empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whether the catalogue's cache gave this answer.
    pub fn is_cache_hit(&self) -> bool {
        let timing = self.header("server-timing");
        timing
            .split(',')
            .map(str::trim)
            .any(|part| part.starts_with("cache;") && part.contains("desc=\"hit\""))
    }

    /// The same answer with its body as it was before it was encoded.
    pub fn decoded(mut self) -> Result<Self> {
        let mut plain = Vec::new();
        match self.header("content-encoding") {
            "" => return Ok(self),
            "gzip" => GzDecoder::new(self.body.as_ref())
                .read_to_end(&mut plain)
                .context("a body that is said to be gzip is not")?,
            "br" => brotli::Decompressor::new(self.body.as_ref(), DECODED_AT_ONCE_BYTES)
                .read_to_end(&mut plain)
                .context("a body that is said to be Brotli is not")?,
            other => bail!("an answer is encoded as `{other}`, which was not asked for"),
        };
        self.body = plain.into();
        Ok(self)
    }

    /// The answer's JSON without what arms address differently, or the body's text.
    pub fn normalized(&self) -> serde_json::Value {
        let mut value: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&self.body).into_owned().into());
        if let Some(object) = value.as_object_mut()
            && let Some(next) = object.get_mut("next")
        {
            // That a list goes on must agree, the address of the next page is the arm's own.
            *next = next.is_string().into();
        }
        value
    }

    /// How many items a list has; `None` where the answer is no list, or encoded.
    pub fn items(&self) -> Option<usize> {
        let value: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(value.get("items")?.as_array()?.len())
    }

    /// The address of the next page, if the list goes on.
    pub fn next(&self) -> Option<String> {
        let value: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        value.get("next")?.as_str().map(str::to_owned)
    }
}
