//! A response, and assertions about it.

use std::io::Read as _;

use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl TestResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body, decompressed.
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
            Some(other) => panic!("an encoding that the client does not accept: {other}"),
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

    /// The body, or null if it isn't JSON.
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

    /// The address of the next page.
    pub fn next(&self) -> Option<String> {
        self.json()["next"].as_str().map(str::to_owned)
    }

    /// The number of statements, from `server-timing`.
    pub fn statements(&self) -> u64 {
        let description = self.server_timing("db");
        description.strip_suffix(" queries").unwrap().parse().unwrap()
    }

    /// The outcome of the cache lookup, from `server-timing`.
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

    /// Asserts that the status is 200.
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

    /// Asserts that this is a problem with the status, code and headers that belong together, and returns it.
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
