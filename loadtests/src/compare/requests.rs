//! What each arm is asked under a scenario, made ready before anything is timed.
//!
//! Most scenarios ask all arms for the same paths. Pages at a depth have an address of each arm's own, which is found
//! by following `next` as a client would: where it is a page number, the page is jumped to; where it is a cursor, the
//! list is walked once, a hundred items a step, and the addresses on the way are kept for other depths. Who asks for what
//! is theirs brings a token of the arm's own (`sign_ins.rs`), and what can be sent only once comes from a supply
//! (`supply.rs`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use hyper::header::{ACCEPT_ENCODING, HeaderValue};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::asks::Asks;
use super::client::Client;
use super::invariants::Totals;
use super::sign_ins::{SignIns, sign_in};
use super::stand::{Ground, Stand};
use super::supply::Supply;
use crate::lessons::{Load, Once, Requests, Scenario};
use crate::load::Request;

/// Pages in a row that a depth stands for, so that not a single page is asked for again and again.
const PAGES_AT_A_DEPTH: u64 = 8;

/// The step of a walk: the largest page.
const STEP: u64 = 100;

/// What is kept between scenarios: addresses, tokens, supplies.
#[derive(Default)]
pub struct Preparation {
    walks: Walks,
    sign_ins: SignIns,
    supplies: HashMap<(&'static str, Once), Arc<Mutex<Supply>>>,
    /// What orders are made of, by arm: chosen, and stocked, once.
    variants: HashMap<&'static str, Vec<Uuid>>,
    /// What the databases held of those arms that have supplies, before the first request.
    pub at_first: BTreeMap<&'static str, Totals>,
    /// Payments that were authorized and mails that had arrived before the lesson.
    pub third_parties_at_first: (u64, u64),
}

/// Addresses of pages that walks have found, by arm and list.
#[derive(Debug, Default)]
struct Walks(HashMap<(&'static str, String), Vec<String>>);

impl Preparation {
    /// Nothing is ready yet.
    pub async fn begin(ground: &Ground) -> Result<Self> {
        let mut preparation = Self::default();
        if let Some(third_parties) = &ground.third_parties {
            preparation.third_parties_at_first =
                (third_parties.payments().await?, third_parties.mails().await?);
        }
        Ok(preparation)
    }

    /// What a scenario asks one arm. Asked again, it gives the same, with tokens that are still good.
    pub async fn asks(&mut self, scenario: &Scenario, stand: &Stand) -> Result<Asks> {
        self.asks_for(&scenario.requests, scenario.accept_encoding, stand)
            .await
    }

    /// The same for requests of any scenario.
    pub async fn asks_for(
        &mut self,
        requests: &Requests,
        accept_encoding: Option<&'static str>,
        stand: &Stand,
    ) -> Result<Asks> {
        let requests = match requests {
            Requests::Same(paths) => gets(paths)?,
            Requests::AtDepth { list, depth, limit } => {
                gets(&self.walks.at_depth(stand, list, *depth, *limit).await?)?
            }
            Requests::SignedIn {
                customers,
                path,
                session_bytes,
            } => {
                self.sign_ins
                    .requests(stand, customers, path, *session_bytes)
                    .await?
            }
            Requests::SignIns(customers) => customers
                .iter()
                .map(|email| sign_in(email))
                .collect::<Result<_>>()?,
            Requests::Once(once) => return self.supply(*once, stand).await.map(Asks::Once),
            // Trials are run elsewhere.
            Requests::Writes(_) | Requests::Trial(_) => return Ok(Asks::nothing()),
        };
        let accepting = |request: Request| match accept_encoding {
            Some(encodings) => request.with_header(ACCEPT_ENCODING, HeaderValue::from_static(encodings)),
            None => request,
        };
        Ok(Asks::repeated(requests.into_iter().map(accepting).collect()))
    }

    /// What a scenario asks each arm.
    pub async fn of_arms(&mut self, scenario: &Scenario, stands: &[Stand]) -> Result<Vec<Asks>> {
        let mut asks = Vec::with_capacity(stands.len());
        for stand in stands {
            asks.push(self.asks(scenario, stand).await?);
        }
        Ok(asks)
    }

    /// What is under way at each arm beside a scenario's requests; nothing where nothing is.
    pub async fn slow_of_arms(&mut self, scenario: &Scenario, stands: &[Stand]) -> Result<Vec<Asks>> {
        let mut asks = Vec::new();
        if let Load::BesideSlow(slow) = &scenario.load {
            for stand in stands {
                asks.push(self.asks_for(&slow.requests, None, stand).await?);
            }
        }
        Ok(asks)
    }

    async fn supply(&mut self, once: Once, stand: &Stand) -> Result<Arc<Mutex<Supply>>> {
        if let Some(known) = self.supplies.get(&(stand.arm, once)) {
            return Ok(Arc::clone(known));
        }
        let known = self.variants.get(stand.arm).cloned();
        let supply = Supply::open(once, &stand.database_url, known).await?;
        if let Some(variants) = supply.variants() {
            self.variants.insert(stand.arm, variants.to_vec());
        }
        let supply = Arc::new(Mutex::new(supply));
        if !self.at_first.contains_key(stand.arm) {
            self.at_first
                .insert(stand.arm, Totals::read(&stand.database_url).await?);
        }
        self.supplies.insert((stand.arm, once), Arc::clone(&supply));
        Ok(supply)
    }
}

fn gets(paths: &[String]) -> Result<Vec<Request>> {
    paths.iter().map(|path| Request::get(path)).collect()
}

impl Walks {
    async fn at_depth(&mut self, stand: &Stand, list: &str, depth: u64, limit: u64) -> Result<Vec<String>> {
        let mut client = Client::to(stand.timed.address());
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
    let answer = client.get(path).await?;
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
