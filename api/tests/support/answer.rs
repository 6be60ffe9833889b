//! What a request was answered with.

use std::io::Read as _;

use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as it was before it was compressed.
    pub fn decoded(&self) -> Vec<u8> {
        let mut decoded = Vec::new();
        match self.header("content-encoding") {
            None => decoded.clone_from(&self.body),
            Some("gzip") => {
                let mut reader = flate2::read::GzDecoder::new(self.body.as_slice());
                reader.read_to_end(&mut decoded).unwrap();
            }
            Some("br") => {
                let mut reader = brotli::Decompressor::new(self.body.as_slice(), 4096);
                reader.read_to_end(&mut decoded).unwrap();
            }
            Some(other) => panic!("an encoding that nobody asked for: {other}"),
        }
        decoded
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.decoded()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.decoded())
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body, if it is JSON.
    pub fn json_or_null(&self) -> Value {
        serde_json::from_slice(&self.decoded()).unwrap_or_default()
    }

    pub fn items(&self) -> Vec<Value> {
        self.json()["items"].as_array().expect("a list").clone()
    }

    /// One field of each item.
    pub fn each(&self, field: &str) -> Vec<Value> {
        self.items().into_iter().map(|item| item[field].clone()).collect()
    }

    /// The next page's address.
    pub fn next(&self) -> Option<String> {
        self.json()["next"].as_str().map(str::to_owned)
    }

    /// The number of statements that `server-timing` says.
    pub fn statements(&self) -> u64 {
        let description = self.server_timing("db");
        description.strip_suffix(" queries").unwrap().parse().unwrap()
    }

    /// What `server-timing` says of the cache.
    pub fn cache(&self) -> String {
        self.server_timing("cache")
    }

    fn server_timing(&self, metric: &str) -> String {
        let header = self.header("server-timing").unwrap();
        let found = header
            .split(", ")
            .find(|part| part.split(';').next() == Some(metric));
        let description = found.and_then(|part| part.split_once("desc=\"")).unwrap().1;
        description.trim_end_matches('"').to_owned()
    }

    /// This answer, if it is a success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.status,
            StatusCode::OK,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    /// The problem that this answer is, whose headers and status fit.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code);
        assert_eq!(self.header("retry-after").is_some(), matches!(status, 429 | 503));
        problem
    }
}
