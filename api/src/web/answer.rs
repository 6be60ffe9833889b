//! A successful response: finished JSON bytes and the next page's URL.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use uuid::Uuid;

/// The format version that a stored value starts with, so that two releases can share a cache.
const MARK: &[u8] = b"answer 1\n";

/// A finished response body, with the next page's URL for the `Link` header.
///
/// The catalogue's cache stores it as one value: version mark, next URL, line feed, body. Both parts are slices of
/// that value, so a cache hit copies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    stored: Bytes,
    body_at: usize,
    products: Vec<Uuid>,
    is_provisional: bool,
}

impl Answer {
    /// Copies both parts into one buffer. `next` is a URL, so it holds no line feed.
    pub fn new(next: Option<&str>, body: &[u8]) -> Self {
        let next = next.unwrap_or_default();
        let mut stored = Vec::with_capacity(MARK.len() + next.len() + 1 + body.len());
        stored.extend_from_slice(MARK);
        stored.extend_from_slice(next.as_bytes());
        stored.push(b'\n');
        stored.extend_from_slice(body);
        Self {
            stored: stored.into(),
            body_at: MARK.len() + next.len() + 1,
            products: Vec::new(),
            is_provisional: false,
        }
    }

    /// Names the products that the response shows: a change to one of them invalidates it.
    pub fn showing(mut self, products: Vec<Uuid>) -> Self {
        self.products = products;
        self
    }

    /// Marks a response made from possibly stale data: it is sent but not cached.
    pub fn provisional(mut self, is_provisional: bool) -> Self {
        self.is_provisional = is_provisional;
        self
    }

    /// Whether it must not be cached.
    pub fn is_provisional(&self) -> bool {
        self.is_provisional
    }

    /// The products that it shows. Not part of the stored value.
    pub fn products(&self) -> &[Uuid] {
        &self.products
    }

    /// Parses a stored value. `None` when it has another format.
    pub fn from_stored(stored: Bytes) -> Option<Self> {
        let next = stored.strip_prefix(MARK)?;
        let body_at = MARK.len() + next.iter().position(|byte| *byte == b'\n')? + 1;
        Some(Self {
            stored,
            body_at,
            products: Vec::new(),
            is_provisional: false,
        })
    }

    /// The whole value, for the cache. [`Answer::from_stored`] parses it.
    pub fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The JSON that is sent. Shares memory with the stored value.
    pub fn body(&self) -> Bytes {
        self.stored.slice(self.body_at..)
    }

    fn next(&self) -> &[u8] {
        &self.stored[MARK.len()..self.body_at - 1]
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let next = self.next();
        if !next.is_empty() {
            let link = [b"<".as_slice(), next, b">; rel=\"next\""].concat();
            if let Ok(link) = HeaderValue::from_bytes(&link) {
                headers.insert(header::LINK, link);
            }
        }
        response
    }
}
