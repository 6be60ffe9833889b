//! `backstock-lab load`: one workload against a URL.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;

use super::{Outcome, Request, Target, closed_loop, open_loop};

/// Send one kind of request to a URL and print what came back
#[derive(Debug, Args)]
pub struct Command {
    /// The server, or the whole URL to request, such as http://127.0.0.1:8080/v1/products?limit=20
    pub url: String,

    /// Path and query, where the URL names only the server; several are sent in turn
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,

    /// A header of every request, as `name: value`
    #[arg(long = "header", value_name = "HEADER", value_parser = parse_header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,

    /// Open loop: this many requests a second with Poisson arrivals; latency counts from the intended sending
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "concurrency")]
    pub rate: Option<f64>,

    /// Connections of an open loop: at most so many requests are under way
    #[arg(long, default_value_t = 64, requires = "rate")]
    pub connections: usize,

    /// Closed loop: this many clients, each of which sends its next request when the last is answered
    #[arg(long, default_value_t = 8)]
    pub concurrency: usize,

    /// How long to send, in seconds
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,

    /// Fixes the arrivals and where in the list of paths the walk begins
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Print JSON with the raw histogram instead of a table
    #[arg(long)]
    pub json: bool,
}

impl Command {
    /// Runs the load and prints what it found.
    pub async fn run(self) -> Result<()> {
        let (target, path_of_url) = Target::parse(&self.url)?;
        let headers: Arc<[_]> = self.headers.clone().into();
        let paths = if self.paths.is_empty() {
            vec![path_of_url]
        } else {
            self.paths.clone()
        };
        let requests: Arc<[Request]> = paths
            .iter()
            .map(|path| Ok(Request::get(path)?.with_headers(&headers)))
            .collect::<Result<Vec<_>>>()?
            .into();
        let duration =
            Duration::try_from_secs_f64(self.seconds).context("--seconds must be a positive number")?;
        let outcome = match self.rate {
            Some(rate) => open_loop(&target, &requests, rate, duration, self.connections, self.seed).await?,
            None => closed_loop(&target, &requests, self.concurrency, duration, self.seed).await?,
        };
        if self.json {
            println!("{:#}", as_json(&outcome));
        } else {
            println!("{}", as_table(&outcome));
        }
        Ok(())
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = text
        .split_once(':')
        .context("a header is given as `name: value`")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    let errors = &outcome.errors;
    json!({
        "completed": outcome.completed,
        "dropped": outcome.dropped,
        "errors": {
            "connect": errors.connect,
            "timeout": errors.timeout,
            "broken": errors.broken,
            "status_4xx": errors.status_4xx(),
            "status_5xx": errors.status_5xx(),
        },
        "offered_rps": outcome.offered,
        "achieved_rps": outcome.throughput(),
        "achieved_share": outcome.achieved_share(),
        "latency_ms": {
            "mean": outcome.mean_ms(),
            "p50": outcome.p50_ms(),
            "p95": outcome.p95_ms(),
            "p99": outcome.p99_ms(),
            "p999": outcome.p999_ms(),
            "samples": outcome.total.len(),
        },
        "response_bytes": outcome.bytes_per_answer(),
        "wire_bytes": outcome.wire_bytes,
        "elapsed_s": outcome.elapsed.as_secs_f64(),
        "generator_cpu_share": outcome.generator_share(),
        "generator_lateness_p95_ms": outcome.lateness_p95_ms(),
        "generator_saturated": outcome.saturated,
        "histogram_ns": outcome.histogram_base64(),
    })
}

fn as_table(outcome: &Outcome) -> Table {
    let milliseconds = |value: Option<f64>| match value {
        Some(value) => format!("{value:.3} ms"),
        None => "too few samples".to_owned(),
    };
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    if let (Some(offered), Some(share)) = (outcome.offered, outcome.achieved_share()) {
        table.add_row(["offered".to_owned(), format!("{offered:.0} requests/s")]);
        table.add_row(["achieved ÷ offered".to_owned(), format!("{share:.4}")]);
    }
    table.add_row([
        "answered".to_owned(),
        format!("{} ({:.0} a second)", outcome.completed, outcome.throughput()),
    ]);
    table.add_row(["p50".to_owned(), milliseconds(outcome.p50_ms())]);
    table.add_row(["p95".to_owned(), milliseconds(outcome.p95_ms())]);
    table.add_row(["p99".to_owned(), milliseconds(outcome.p99_ms())]);
    table.add_row(["p999".to_owned(), milliseconds(outcome.p999_ms())]);
    let size = outcome
        .bytes_per_answer()
        .map_or("—".to_owned(), |bytes| format!("{bytes:.0} bytes"));
    table.add_row(["an answer's body".to_owned(), size]);
    table.add_row(["errors".to_owned(), errors_in_words(outcome)]);
    let share = outcome.generator_share() * 100.0;
    table.add_row([
        "the generator's CPU".to_owned(),
        format!("{share:.0} % of a core"),
    ]);
    if let Some(late) = outcome.lateness_p95_ms() {
        table.add_row(["its lateness, p95".to_owned(), format!("{late:.3} ms")]);
    }
    if outcome.saturated {
        table.add_row(["warning", "the generator may itself be the bottleneck"]);
    }
    table
}

fn errors_in_words(outcome: &Outcome) -> String {
    let never_sent = (outcome.dropped > 0).then(|| ("never sent".to_owned(), outcome.dropped));
    let kinds = never_sent.into_iter().chain(outcome.errors.by_kind());
    let seen: Vec<String> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
    if seen.is_empty() {
        "none".to_owned()
    } else {
        seen.join(", ")
    }
}
