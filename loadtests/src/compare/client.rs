//! One request at a time, with the whole answer: for counting and comparing, never for timing.

use std::io::Read;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use flate2::read::GzDecoder;
use hyper::{HeaderMap, Method, StatusCode};

use crate::load::{Request, Target, Visitor};

const DECODED_AT_ONCE_BYTES: usize = 16 * 1024;

/// What each shop chooses by itself when it makes something: ids, numbers, times and tokens.
const OWN: [&str; 8] = [
    "id",
    "number",
    "created_at",
    "at",
    "access_token",
    "refresh_token",
    "order_token",
    "trace_id",
];

/// A kept-alive connection.
pub struct Client(Visitor);

/// What came back.
pub struct Answer {
    /// What it answers.
    to: Method,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it was sent.
    pub body: Bytes,
}

impl Client {
    /// Connects with the first request.
    pub fn to(address: SocketAddr) -> Self {
        Self(Visitor::to(&Target::new(address)))
    }

    /// Asks for a path and waits for the last byte.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.ask(&Request::get(path)?).await
    }

    /// Sends a request and waits for the last byte.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer> {
        let fetched = self.0.fetch(request).await?;
        Ok(Answer {
            to: request.method.clone(),
            status: fetched.status,
            headers: fetched.headers,
            body: fetched.body,
        })
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

    /// The answer's JSON without what arms address or name differently, or the body's text.
    pub fn normalized(&self) -> serde_json::Value {
        let mut value: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&self.body).into_owned().into());
        if let Some(object) = value.as_object_mut()
            && let Some(next) = object.get_mut("next")
        {
            // That a list goes on must agree, the address of the next page is the arm's own.
            *next = next.is_string().into();
        }
        if self.to == Method::POST {
            without_own(&mut value);
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

fn without_own(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|name, _| !OWN.contains(&name.as_str()));
            fields.values_mut().for_each(without_own);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_own),
        _ => {}
    }
}
