//! `backstock-lab limits`: all checks in one run, their table, and `target/compare/limits.json` or, with `--record`, a
//! file that is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use indicatif::{ProgressBar, ProgressStyle};
use local_services::{Purpose, Services, install_tool};

use super::{
    Buying, CachedListing, LimitResult, Listing, Turns, being_watched, buying,
    cached_listing_against_bare_route, generator_against_wrk, generator_floor, listing_against_pgbench,
    listing_by_index, memory_with_open_connections, start_up_time,
};
use crate::database::{clone_database, drop_database, ensure_template, measure_alone};
use crate::generate::{DEFAULT_SEED, Scale};
use crate::shop::{Shop, ShopSettings};

/// The database of this command: a clone that is dropped in the end.
const DATABASE: &str = "backstock_limits";

/// A logical database of Redis that neither `make up` nor a comparison uses.
const REDIS_DATABASE: u8 = 250;

/// The page whose details take a second statement.
const DETAILED_PATH: &str = "/v1/products?limit=20&include=variants,images";

const START_UPS: usize = 7;
const OPEN_CONNECTIONS: usize = 1_000;

/// Measure the product against what the stores and the machine allow
#[derive(Debug, Args)]
pub struct Command {
    /// How large the catalogue is
    #[arg(long, value_enum, default_value_t = Scale::S)]
    pub scale: Scale,

    /// Only the checks of one part
    #[arg(long, value_enum)]
    pub only: Option<Part>,

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

    /// Another build of the api, against which this one's throughput is held with traces off
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
    /// What everybody may look at.
    Catalogue,
    /// Where money and promises are.
    Buying,
    /// What metrics and traces cost.
    Observation,
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
        let template = ensure_template(&server_url, &api_binary, self.scale, DEFAULT_SEED, "chosen").await?;
        clone_database(&server_url, &template, DATABASE).await?;
        let stand = Stand {
            services: &services,
            lab: &lab,
            api_binary: &api_binary,
            template: &template,
        };
        let measured = self.measure(&stand).await;
        // A database that stays behind is replaced by the next run.
        let _ = drop_database(&server_url, DATABASE).await;
        let results = measured?;

        let root = local_services::workspace_root()?;
        let record = match &self.record {
            Some(name) => root.join("loadtests/results").join(name).join("limits.json"),
            None => root.join("target/compare/limits.json"),
        };
        write_record(&record, &results)?;
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

    async fn measure(&self, stand: &Stand<'_>) -> Result<Vec<LimitResult>> {
        let turns = Turns {
            blocks: usize::from(self.blocks),
            slice: Duration::from_secs(self.slice_seconds),
            connections: usize::from(self.connections),
        };
        let (uncached, cached) = (
            stand.shop("optimized,catalog_cache=none"),
            stand.shop("optimized"),
        );
        let progress = Progress::new(14);
        let mut results = Vec::new();
        let is_wanted = |part| self.only.is_none_or(|only| only == part);
        if is_wanted(Part::Buying) {
            let logs = std::env::temp_dir().join("backstock-limits");
            let plan = Buying {
                services: stand.services,
                api_binary: stand.api_binary,
                logs: &logs,
                template: stand.template,
                turns,
            };
            results.extend(buying(&plan, |what| progress.next(what)).await?);
        }
        if is_wanted(Part::Observation) {
            progress.next("what it costs to be watched");
            let other_api = self.other_api.as_deref();
            results.extend(being_watched(&cached, &self.path, other_api, turns).await?);
        }
        if !is_wanted(Part::Catalogue) {
            return Ok(results);
        }

        progress.next("how soon the api is ready");
        results.push(start_up_time(&cached, START_UPS).await?);
        progress.next("its memory with open connections");
        results.push(memory_with_open_connections(&cached, &self.path, OPEN_CONNECTIONS).await?);

        progress.next("the plans of the listing's statements");
        let [plans, _] = listing_by_index(&uncached, "listing", &self.path).await?;
        // How many statements this page takes is a result of the comparison with pgbench.
        results.push(plans);
        results.extend(listing_by_index(&uncached, "detailed_listing", DETAILED_PATH).await?);

        progress.next("the uncached listing against pgbench");
        let pgbench = stand.services.postgres_bin().join("pgbench");
        let listing = Listing {
            settings: &uncached,
            path: &self.path,
            pgbench: &pgbench,
            turns,
        };
        results.extend(listing_against_pgbench(&listing).await?);

        progress.next("the cached listing against a bare route");
        let shop = Shop::start(cached.clone()).await?;
        let plan = CachedListing {
            shop: &shop,
            database_url: &cached.database_url,
            redis_url: &cached.redis_url,
            path: &self.path,
            lab: stand.lab,
            turns,
        };
        results.extend(cached_listing_against_bare_route(&plan).await?);
        drop(shop);

        progress.next("the generator on an empty route");
        results.push(generator_floor(stand.lab, turns).await?);
        progress.next("the generator against wrk");
        let shop = Shop::start(uncached).await?;
        results.extend(generator_against_wrk(&shop.target(), &self.path, turns).await?);
        Ok(results)
    }
}

/// What every check is measured with.
struct Stand<'a> {
    services: &'a Services,
    lab: &'a Path,
    api_binary: &'a Path,
    template: &'a str,
}

impl Stand<'_> {
    fn shop(&self, variants: &str) -> ShopSettings {
        ShopSettings {
            api_binary: self.api_binary.to_owned(),
            variants: variants.to_owned(),
            database_url: self.services.database_url(DATABASE),
            redis_url: self.services.redis_url(REDIS_DATABASE),
            amqp_url: None,
            log_path: std::env::temp_dir().join("backstock-limits-api.log"),
            extra_env: Vec::new(),
        }
    }
}

struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(steps: u64) -> Progress {
        let bar = ProgressBar::new(steps);
        let style = ProgressStyle::with_template("{spinner} [{pos}/{len}] {msg} ({elapsed})");
        bar.set_style(style.expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar }
    }

    fn next(&self, what: &'static str) {
        self.bar.inc(1);
        self.bar.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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

fn write_record(path: &Path, results: &[LimitResult]) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let text = serde_json::to_string_pretty(results)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn as_table(results: &[LimitResult]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["what", "target", "measured", "limit", "met"]);
    for result in results {
        let interval = result
            .ci95
            .map_or(String::new(), |(low, high)| format!(" ({low:.2}…{high:.2})"));
        let unit = if result.unit.is_empty() {
            String::new()
        } else {
            format!(" {}", result.unit)
        };
        let measured = format!(
            "{:.*}{unit}{interval}",
            decimals(result.measured),
            result.measured
        );
        let limit = result
            .limit
            .map_or("—".to_owned(), |limit| format!("{limit:.*}", decimals(limit)));
        let met = if result.met { "yes" } else { "no" };
        table.add_row([&result.what, &result.target, &measured, &limit, met]);
    }
    table
}

fn decimals(value: f64) -> usize {
    match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    }
}
