//! `backstock-lab limits`: all checks in one run, their table, and `target/compare/limits.json` or, with `--record`, a
//! file that is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use local_services::{Purpose, Services, install_tool};

use super::measure::{Stand, measure};
use super::terminal::as_table;
use super::{LimitResult, Turns};
use crate::database::{clone_database, drop_database, ensure_template, measure_alone};
use dataset::{DEFAULT_SEED, Scale};

/// The database of this command: a clone that is dropped in the end.
pub(super) const DATABASE: &str = "backstock_limits";

/// Measure the product against what the stores and the machine allow
#[derive(Debug, Args)]
pub struct Command {
    /// How large the catalogue is
    #[arg(long, value_enum, default_value_t = Scale::S)]
    pub scale: Scale,

    /// Only the checks of one part
    #[arg(long, value_enum)]
    pub only: Option<Part>,

    /// Draws the requests of the generated set
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Combinations in the generated set; the first of a larger set are those of a smaller one
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub combinations: u16,

    /// A generated set that was recorded at another scale: its requests are measured again, and how much their buffers have
    /// grown
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,

    /// Sales, locks and loads last a fifth as long: for trying whether all of it runs, and not for verdicts
    #[arg(long)]
    pub quick: bool,

    /// The page that is listed
    #[arg(long, default_value = "/v1/products?limit=20")]
    pub path: String,

    /// Blocks of four turns in each comparison; a verdict should rest on eight at least
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub blocks: u16,

    /// The length of a turn, in seconds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub slice_seconds: u64,

    /// Connections of every closed loop
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,

    /// The api [default: the backstock-api beside this program]
    #[arg(long)]
    pub api_binary: Option<PathBuf>,

    /// Another build of the api, against which this one's throughput is held: uncached, and with traces off
    #[arg(long, value_name = "FILE")]
    pub other_api: Option<PathBuf>,

    /// Keep the results as loadtests/results/NAME/limits.json
    #[arg(long, value_name = "NAME", value_parser = record_name)]
    pub record: Option<String>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// What is checked together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Listings, cached and not, the api's start, and the generator itself.
    Catalogue,
    /// The relay, the order mix, a flash sale.
    Buying,
    /// What metrics and traces cost.
    Observation,
    /// The most expensive of many generated requests.
    Worst,
    /// Orders against pgbench with the statements and the schema of the frozen commit.
    Orders,
    /// What follows an order, at once and at the usual latencies.
    Consumers,
    /// A hot SKU under contention.
    HotSale,
    /// A SKU's row that a foreign session locks.
    OutsideLock,
    /// One order that can't be settled among many.
    BadOrder,
    /// The api's memory under load of all routes.
    Memory,
    /// The uncached listing against another build's (`--other-api`).
    Uncached,
    /// Migrations and indexes under traffic.
    Upgrade,
}

impl Part {
    /// The other parts run on the frozen rows alone, which take a minute rather than many.
    fn needs_generated_data(self) -> bool {
        !matches!(self, Part::Upgrade | Part::Uncached)
    }
}

impl Command {
    /// Runs the checks and prints their table. `Ok(false)` when a target was missed; the last line then names it.
    pub async fn run(self) -> Result<bool> {
        let lab = std::env::current_exe().context("the lab's own program is needed for the bare routes")?;
        let api_binary = self
            .api_binary
            .clone()
            .unwrap_or_else(|| lab.with_file_name("backstock-api"));
        let services = tokio::task::spawn_blocking(|| {
            install_tool("wrk")?;
            Services::start(Purpose::Shop)
        })
        .await??;
        let server_url = services.database_url("postgres");
        let _alone = measure_alone(&server_url).await?;
        let template = if self.only.is_none_or(Part::needs_generated_data) {
            let template =
                ensure_template(&server_url, &api_binary, self.scale, DEFAULT_SEED, "chosen").await?;
            clone_database(&server_url, &template, DATABASE).await?;
            template
        } else {
            String::new()
        };
        let stand = Stand {
            services: &services,
            lab: &lab,
            api_binary: &api_binary,
            template: &template,
        };
        let measured = measure(&self, &stand).await;
        // A database that stays behind is replaced by the next run.
        let _ = drop_database(&server_url, DATABASE).await;
        let results = measured?;

        let record = self.record_directory()?.join("limits.json");
        write_record(&record, self.only.is_some(), &results)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&results)?);
        } else {
            println!("{}", as_table(&results));
        }
        let missed: Vec<&str> = results
            .iter()
            .filter(|result| !result.met)
            .map(|result| result.name.as_str())
            .collect();
        if !missed.is_empty() {
            eprintln!("missed: {}", missed.join(", "));
        }
        Ok(missed.is_empty())
    }
}

/// The name of a directory, and of nothing elsewhere.
fn record_name(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err("a name has letters, digits, `-`, `_` and `.`, and doesn't begin with `.`".to_owned());
    }
    Ok(name.to_owned())
}

/// A run of one part keeps what others have recorded beside it.
fn write_record(path: &Path, is_partial: bool, results: &[LimitResult]) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut all: Vec<LimitResult> = match std::fs::read_to_string(path) {
        Ok(text) if is_partial => serde_json::from_str(&text)
            .with_context(|| format!("{} is no record of limits", path.display()))?,
        _ => Vec::new(),
    };
    all.retain(|known| results.iter().all(|new| new.name != known.name));
    all.extend_from_slice(results);
    let text = serde_json::to_string_pretty(&all)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

impl Command {
    pub(super) fn turns(&self) -> Turns {
        Turns {
            blocks: usize::from(self.blocks),
            slice: Duration::from_secs(self.slice_seconds),
            connections: usize::from(self.connections),
        }
    }

    /// The directory that takes what is recorded.
    pub(super) fn record_directory(&self) -> Result<PathBuf> {
        let root = local_services::workspace_root()?;
        Ok(match &self.record {
            Some(name) => root.join("loadtests/results").join(name),
            None => root.join("target/compare"),
        })
    }
}
