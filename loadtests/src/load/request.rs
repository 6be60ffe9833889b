//! What is sent, and to whom.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Uri};

/// One request, drawn before the load starts. Cloning it copies no text.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query, as on the request line.
    pub path: Uri,
    /// Headers beside `host`, shared by the requests that have the same.
    pub headers: Arc<[(HeaderName, HeaderValue)]>,
    /// The method.
    pub method: Method,
    /// The body; empty for a GET.
    pub body: Bytes,
    /// What kind of request this is in the caller's own numbering. [`Outcome`](super::Outcome) keeps a histogram a
    /// class.
    pub class: u16,
}

impl Request {
    /// A GET of a path and query, without headers, of class 0.
    pub fn get(path: &str) -> Result<Request> {
        Request::of(Method::GET, path)
    }

    /// The same with a JSON body under another method.
    pub fn with_json(method: Method, path: &str, body: &serde_json::Value) -> Result<Request> {
        let mut request = Request::of(method, path)?;
        request.body = serde_json::to_vec(body)?.into();
        Ok(request.with_header(CONTENT_TYPE, HeaderValue::from_static("application/json")))
    }

    fn of(method: Method, path: &str) -> Result<Request> {
        if !path.starts_with('/') {
            bail!("a request's path starts with `/`; got `{path}`");
        }
        let path = path
            .parse()
            .with_context(|| format!("`{path}` is no valid path and query"))?;
        Ok(Request {
            path,
            headers: Arc::new([]),
            method,
            body: Bytes::new(),
            class: 0,
        })
    }

    /// The same request with these headers.
    pub fn with_headers(mut self, headers: &Arc<[(HeaderName, HeaderValue)]>) -> Request {
        self.headers = Arc::clone(headers);
        self
    }

    /// The same request with this header, in place of what it has of the name.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Request {
        let others = self.headers.iter().filter(|(other, _)| *other != name).cloned();
        self.headers = others.chain([(name.clone(), value)]).collect();
        self
    }

    /// What tells this request from others: its path and query, its headers, its body.
    pub fn bytes(&self) -> u64 {
        let headers = self.headers.iter();
        let of_headers: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        (self.path.to_string().len() + of_headers + self.body.len()) as u64
    }

    /// The same request as a member of this class.
    pub fn with_class(mut self, class: u16) -> Request {
        self.class = class;
        self
    }
}

/// A server under load.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The `host` header.
    pub host: HeaderValue,
}

impl Target {
    /// The server at this address.
    pub fn new(address: SocketAddr) -> Target {
        let host = HeaderValue::try_from(address.to_string()).expect("an address consists of visible ASCII");
        Target { address, host }
    }

    /// Splits a URL such as `http://127.0.0.1:8080/v1/products` into the server and the path, which is `/` when the
    /// URL has none.
    pub fn parse(url: &str) -> Result<(Target, String)> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            bail!("`{url}` is no plain HTTP URL; give one such as http://127.0.0.1:8080/v1/products");
        };
        let address = (
            authority.host().trim_matches(['[', ']']),
            authority.port_u16().unwrap_or(80),
        )
            .to_socket_addrs()
            .with_context(|| format!("cannot resolve the host of `{url}`"))?
            .next()
            .with_context(|| format!("the host of `{url}` has no address"))?;
        let host = HeaderValue::try_from(authority.as_str()).context("the host is no valid header value")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok((Target { address, host }, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_splits_into_server_and_path() {
        let (target, path) = Target::parse("http://127.0.0.1:8080/v1/products?limit=5").unwrap();
        assert_eq!(target.address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(target.host, "127.0.0.1:8080");
        assert_eq!(path, "/v1/products?limit=5");
        assert_eq!(Target::parse("http://127.0.0.1:8080").unwrap().1, "/");
        assert_eq!(
            Target::parse("http://[::1]:81").unwrap().0.address,
            "[::1]:81".parse().unwrap()
        );
    }

    #[test]
    fn a_header_takes_the_place_of_its_name() {
        let body = serde_json::json!({ "quantity": 2 });
        let request = Request::with_json(Method::PUT, "/v1/carts", &body).unwrap();
        assert_eq!(
            (request.method.as_str(), request.body.as_ref()),
            ("PUT", br#"{"quantity":2}"#.as_slice())
        );
        let plain = HeaderValue::from_static("text/plain");
        let request = request.with_header(CONTENT_TYPE, plain.clone());
        assert_eq!(request.headers.as_ref(), [(CONTENT_TYPE, plain)]);
        assert_eq!(request.bytes(), 9 + 12 + 10 + 14);
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        assert!(Target::parse("https://127.0.0.1/").is_err());
        assert!(Target::parse("127.0.0.1:80").is_err());
        assert!(Request::get("v1/products").is_err());
        assert!(Request::get("/v1/a b").is_err());
    }
}
