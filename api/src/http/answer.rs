//! A successful answer: finished JSON bytes, and where the list goes on.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use uuid::Uuid;

/// What a stored value starts with. Another form of answers gets another mark, so that processes of two releases can
/// share a cache.
const MARK: &[u8] = b"answer 1\n";

/// Finished response bytes, with the address of the next page for the `Link` header.
///
/// It is what the catalogue's cache stores, as one value: a mark, the next page's address, a line feed, the body. Both
/// parts are slices of it, so a hit copies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    stored: Bytes,
    body_at: usize,
    products: Vec<Uuid>,
    is_provisional: bool,
}

impl Answer {
    /// Puts both parts into one buffer. `next` holds no line feed, since it is a URL.
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

    /// Names the products that it shows: when one of them changes, the answer is no longer good.
    pub fn showing(mut self, products: Vec<Uuid>) -> Self {
        self.products = products;
        self
    }

    /// Says whether it was made from what may be old: such an answer is sent, and not kept.
    pub fn provisional(mut self, is_provisional: bool) -> Self {
        self.is_provisional = is_provisional;
        self
    }

    /// Whether it is not to be kept.
    pub fn is_provisional(&self) -> bool {
        self.is_provisional
    }

    /// The products that it shows, as they were named. Not kept in what is stored.
    pub fn products(&self) -> &[Uuid] {
        &self.products
    }

    /// Reads a stored value back. `None` when it is not one.
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

    /// What the cache stores.
    pub fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The JSON body.
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
