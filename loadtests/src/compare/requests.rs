//! The paths that each arm is asked for.
//!
//! Most scenarios ask all arms for the same paths. Pages at a depth have an address of each arm's own, which is found
//! by following `next` as a client would: where it is a page number, the page is jumped to; where it is a cursor, the
//! list is walked once, a hundred items a step, and the addresses on the way are kept for other depths.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use hyper::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};

use super::client::Client;
use super::stand::Stand;
use crate::lessons::{Requests, Scenario};
use crate::load::Request;

/// Pages in a row that a depth stands for, so that not a single page is asked for again and again.
const PAGES_AT_A_DEPTH: u64 = 8;

/// The step of a walk: the largest page.
const STEP: u64 = 100;

/// Addresses of pages that walks have found, by arm and list.
#[derive(Debug, Default)]
pub struct Walks(HashMap<(&'static str, String), Vec<String>>);

impl Walks {
    /// The paths of a scenario for one arm; none where it does not speak HTTP.
    pub async fn paths(&mut self, scenario: &Scenario, stand: &Stand) -> Result<Vec<String>> {
        match &scenario.requests {
            Requests::Same(paths) => Ok(paths.clone()),
            Requests::Writes(_) => Ok(Vec::new()),
            Requests::AtDepth { list, depth, limit } => self.at_depth(stand, list, *depth, *limit).await,
        }
    }

    async fn at_depth(&mut self, stand: &Stand, list: &str, depth: u64, limit: u64) -> Result<Vec<String>> {
        let mut client = Client::connect(stand.timed.address()).await?;
        let first = with_limit(list, limit);
        let next = next_of(&mut client, &first).await?;
        let mut paths = Vec::new();
        if next.contains("page=") {
            ensure!(
                depth.is_multiple_of(limit),
                "depth {depth} is not at the start of a page of {limit}"
            );
            for page in 0..PAGES_AT_A_DEPTH {
                paths.push(format!("{first}&page={}", depth / limit + 1 + page));
            }
            return Ok(paths);
        }
        let mut path = with_limit(&self.walk(stand.arm, &mut client, list, depth).await?, limit);
        for _ in 0..PAGES_AT_A_DEPTH {
            let next = next_of(&mut client, &path).await?;
            paths.push(std::mem::replace(&mut path, next));
        }
        Ok(paths)
    }

    /// The address of the page after `depth` items, with some limit.
    async fn walk(
        &mut self,
        arm: &'static str,
        client: &mut Client,
        list: &str,
        depth: u64,
    ) -> Result<String> {
        ensure!(
            depth.is_multiple_of(STEP),
            "depth {depth} cannot be reached in steps of {STEP}"
        );
        let walked = self
            .0
            .entry((arm, list.to_owned()))
            .or_insert_with(|| vec![with_limit(list, STEP)]);
        while (walked.len() as u64 - 1) * STEP < depth {
            let last = walked.last().expect("a walk begins with the first page").clone();
            walked.push(next_of(client, &last).await?);
        }
        Ok(walked[(depth / STEP) as usize].clone())
    }
}

async fn next_of(client: &mut Client, path: &str) -> Result<String> {
    let answer = client.get(path, None).await?;
    if !answer.status.is_success() {
        bail!(
            "GET {path} answered {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    }
    answer
        .next()
        .with_context(|| format!("the list ends at {path}: there is no such depth in this data"))
}

/// The path with another limit in place of its own.
fn with_limit(path: &str, limit: u64) -> String {
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("limit="));
    let parts: Vec<&str> = kept.collect();
    let separator = if parts.is_empty() { "" } else { "&" };
    format!("{route}?{}{separator}limit={limit}", parts.join("&"))
}

/// Requests as the generator sends them.
pub fn to_send(paths: &[String], accept_encoding: Option<&'static str>) -> Result<Arc<[Request]>> {
    let headers: Arc<[(HeaderName, HeaderValue)]> = accept_encoding
        .map(|encodings| (ACCEPT_ENCODING, HeaderValue::from_static(encodings)))
        .into_iter()
        .collect();
    paths
        .iter()
        .map(|path| Ok(Request::get(path)?.with_headers(&headers)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_replaces_another() {
        assert_eq!(with_limit("/v1/products", 20), "/v1/products?limit=20");
        assert_eq!(
            with_limit("/v1/products?limit=100&after=x", 20),
            "/v1/products?after=x&limit=20"
        );
        assert_eq!(
            with_limit("/v1/products?sort=newest", 5),
            "/v1/products?sort=newest&limit=5"
        );
    }
}
