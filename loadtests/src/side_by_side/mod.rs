//! `backstock-lab side-by-side`: five routes of two shops that run, in one table, within seconds.
//!
//! A first look and no comparison: the shops differ in every lesson at once, nothing is proven beforehand, and there are no
//! intervals. `compare` is for that. Like any client it knows of the shops only what they answer: the statements by
//! `server-timing`, the bytes by the body as it was sent. Read next: `routes.rs`.

mod routes;
mod table;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::routes::Route;
use crate::load::{Fetched, Outcome, Request, Target, closed_loop, fetch};

/// One client asks for this long before it is the other shop's turn: left, right, right, left.
const TURN: Duration = Duration::from_millis(400);

/// Show two running shops side by side: statements, bytes and the median time of five routes
#[derive(Debug, Args)]
pub struct Command {
    /// The shop in the left column
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub left: String,

    /// The shop in the right column
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub right: String,

    /// What the left one is called
    #[arg(long, value_name = "NAME", default_value = "baseline")]
    pub left_name: String,

    /// What the right one is called
    #[arg(long, value_name = "NAME", default_value = "optimized")]
    pub right_name: String,

    /// A command to try next, printed below the table; may be given several times
    #[arg(long = "next", value_name = "COMMAND")]
    pub next: Vec<String>,
}

impl Command {
    /// Asks both shops and prints the table.
    pub async fn run(self) -> Result<()> {
        let shops = [Shop::of(&self.left)?, Shop::of(&self.right)?];
        let rows = measure(&shops).await?;
        println!("{}", table::render([&self.left_name, &self.right_name], &rows));
        if !self.next.is_empty() {
            println!("\nTry next:");
            for command in &self.next {
                println!("  {command}");
            }
        }
        Ok(())
    }
}

/// A shop that runs, as a client sees it.
#[derive(Debug)]
struct Shop {
    target: Target,
}

/// What a route costs in each shop.
#[derive(Debug)]
struct Row {
    route: &'static str,
    left: Cell,
    right: Cell,
}

/// What a route costs in one shop.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    statements: u32,
    bytes: usize,
    /// `None` when it didn't answer well each time.
    p50_ms: Option<f64>,
}

impl Shop {
    fn of(url: &str) -> Result<Shop> {
        let (target, _) = Target::parse(url)?;
        Ok(Shop { target })
    }

    async fn ask(&self, request: &Request) -> Result<Fetched> {
        let answer = fetch(&self.target, request).await?;
        ensure!(
            answer.status.is_success(),
            "{} answered {} to {}: {}",
            self.target.address,
            answer.status,
            request.path,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(answer)
    }
}

async fn measure(shops: &[Shop; 2]) -> Result<Vec<Row>> {
    let of_left = routes::routes(&shops[0]).await?;
    let of_right = routes::routes(&shops[1]).await?;
    let mut rows = Vec::new();
    for (left, right) in of_left.into_iter().zip(of_right) {
        rows.push(row(shops, [left, right]).await?);
    }
    Ok(rows)
}

async fn row(shops: &[Shop; 2], routes: [Route; 2]) -> Result<Row> {
    let mut answers = Vec::new();
    for (shop, route) in shops.iter().zip(&routes) {
        // The first may be the only one that isn't in a cache.
        shop.ask(&route.request).await?;
        answers.push(shop.ask(&route.request).await?);
    }
    let mut outcomes: [Vec<Outcome>; 2] = Default::default();
    for turn in [0, 1, 1, 0] {
        let requests: Arc<[Request]> = [routes[turn].request.clone()].into();
        outcomes[turn].push(closed_loop(&shops[turn].target, &requests, 1, TURN, 1).await?);
    }
    let cell = |number: usize| -> Result<Cell> {
        Ok(Cell {
            statements: statements(&answers[number]).with_context(|| {
                format!(
                    "{} sends no server-timing with its statements",
                    shops[number].target.address
                )
            })?,
            bytes: answers[number].body.len(),
            p50_ms: median(&outcomes[number]),
        })
    };
    Ok(Row {
        route: routes[0].name,
        left: cell(0)?,
        right: cell(1)?,
    })
}

/// The number in `db;dur=0.4;desc="2 queries"`.
fn statements(answer: &Fetched) -> Option<u32> {
    let timings = answer.headers.get("server-timing")?.to_str().ok()?;
    let database = timings
        .split(',')
        .map(str::trim)
        .find(|metric| metric.starts_with("db;"))?;
    let (_, description) = database.split_once("desc=\"")?;
    description
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// Of all answers together.
fn median(outcomes: &[Outcome]) -> Option<f64> {
    let (first, others) = outcomes.split_first()?;
    let mut all = first.clone();
    others.iter().for_each(|other| all.merge(other));
    if all.errors.total() > 0 {
        return None;
    }
    all.p50_ms()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use hyper::{HeaderMap, StatusCode};

    #[test]
    fn statements_are_those_of_the_header() {
        let answer = |timing: &'static str| Fetched {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(
                "server-timing".parse().unwrap(),
                HeaderValue::from_static(timing),
            )]),
            body: Default::default(),
        };
        let all = "total;dur=1.2, db;dur=0.4;desc=\"41 queries\", cache;dur=0.1;desc=\"3 hit\"";
        assert_eq!(statements(&answer(all)), Some(41));
        assert_eq!(statements(&answer("total;dur=1.2")), None);
        assert_eq!(statements(&answer("db;dur=1.2;desc=\"many\"")), None);
    }
}
