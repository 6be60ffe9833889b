//! The worst of a generated set: what the most expensive of many ordinary requests costs.
//!
//! A seed draws combinations of filters, sorts, words and cursors, facets, suggestions and the category tree, from what the
//! catalogue holds: the slow query needs no one to think of it. Buffers are counted, not timed, so they are the same on a
//! busy machine. Read next: `draw.rs`, then `measure.rs`.

mod draw;
mod growth;
mod measure;
mod vocabulary;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use self::draw::{Drawn, draw};
use self::growth::Recorded;
use self::vocabulary::Vocabulary;
use super::LimitResult;
use crate::shop::ShopSettings;
use dataset::Scale;

/// Shared buffers that one request may touch, whatever it asks for.
const MOST_BUFFERS: f64 = 2_000.0;

/// Database time and CPU time of the api, together.
const MOST_MS: f64 = 30.0;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Worst<'a> {
    /// The shop, without its cache.
    pub settings: &'a ShopSettings,
    /// Of this catalogue.
    pub scale: Scale,
    /// Draws the set.
    pub seed: u64,
    /// Combinations in it.
    pub combinations: usize,
    /// Takes what each request cost.
    pub record: PathBuf,
    /// What a run at another scale recorded: the same requests are measured again, instead of a set that is drawn.
    pub against: Option<PathBuf>,
}

/// What is asked of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    List,
    Facets,
    Categories,
    Suggestions,
}

/// What one request cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cost {
    /// The combination's number, which stands for the same one at every scale.
    combination: usize,
    kind: Kind,
    /// How often `next` was followed to get here.
    page: usize,
    path: String,
    status: u16,
    statements: f64,
    buffers: f64,
    database_ms: f64,
    api_ms: f64,
}

impl Cost {
    fn total_ms(&self) -> f64 {
        self.database_ms + self.api_ms
    }

    fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List | Kind::Suggestions)
    }
}

/// Measures the set.
pub async fn worst_of_generated(plan: &Worst<'_>) -> Result<Vec<LimitResult>> {
    let recorded = plan.against.as_deref().map(Recorded::read).transpose()?;
    let set: Vec<Drawn> = match &recorded {
        Some(recorded) => recorded.set(),
        None => {
            let vocabulary = Vocabulary::read(&plan.settings.database_url, plan.seed).await?;
            draw(&vocabulary, plan.seed, plan.combinations)
        }
    };
    let costs = measure::measure(plan.settings, &set).await?;
    ensure!(!costs.is_empty(), "no request was measured");
    if let Some(directory) = plan.record.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&plan.record, serde_json::to_string_pretty(&costs)?)
        .with_context(|| format!("cannot write {}", plan.record.display()))?;
    print_worst(&costs);

    let mut results = vec![
        buffers(plan, &costs),
        list_time(plan, &costs),
        facets_time(plan, &costs),
    ];
    results.extend(recorded.map(|recorded| recorded.growth(&costs)));
    Ok(results)
}

fn buffers(plan: &Worst<'_>, costs: &[Cost]) -> LimitResult {
    let failed = costs.iter().filter(|cost| cost.status != 200).count();
    let over = costs.iter().filter(|cost| cost.buffers > MOST_BUFFERS).count();
    let most = greatest(costs.iter().map(|cost| cost.buffers));
    let what = format!(
        "shared buffers of the most expensive of {} generated requests, {} products, seed {}",
        costs.len(),
        plan.scale.products(),
        plan.seed
    );
    let met = over == 0 && failed == 0;
    let mut result = LimitResult::new(
        "worst_buffers",
        what,
        "at most 2 000, all answered",
        most,
        "",
        met,
    );
    result.details = vec![
        ("requests".to_owned(), costs.len() as f64),
        ("above".to_owned(), over as f64),
        ("not_answered".to_owned(), failed as f64),
        (
            "median".to_owned(),
            median(costs.iter().map(|cost| cost.buffers).collect()),
        ),
    ];
    result
}

fn list_time(plan: &Worst<'_>, costs: &[Cost]) -> LimitResult {
    let lists: Vec<&Cost> = costs.iter().filter(|cost| cost.is_list()).collect();
    let most = greatest(lists.iter().map(|cost| cost.total_ms()));
    let what =
        "database time plus the api's CPU of the most expensive list or suggestion of the set, median of five"
            .to_owned();
    // What walks an index grows with its depth: the target is that of the default scale.
    let (target, met) = if plan.scale == Scale::M {
        ("none at this scale".to_owned(), true)
    } else {
        (format!("at most {MOST_MS} ms"), most <= MOST_MS)
    };
    let mut result = LimitResult::new("worst_list", what, &target, most, "ms", met);
    let over = lists.iter().filter(|cost| cost.total_ms() > MOST_MS).count();
    result.details = vec![
        ("above".to_owned(), over as f64),
        (
            "median_ms".to_owned(),
            median(lists.iter().map(|cost| cost.total_ms()).collect()),
        ),
        (
            "database_ms".to_owned(),
            greatest(lists.iter().map(|cost| cost.database_ms)),
        ),
        (
            "api_ms".to_owned(),
            greatest(lists.iter().map(|cost| cost.api_ms)),
        ),
    ];
    result
}

fn facets_time(plan: &Worst<'_>, costs: &[Cost]) -> LimitResult {
    let facets: Vec<&Cost> = costs.iter().filter(|cost| !cost.is_list()).collect();
    let most = greatest(facets.iter().map(|cost| cost.total_ms()));
    let most_allowed = if plan.scale == Scale::M { 40.0 } else { 15.0 };
    let what =
        "database time plus the api's CPU of the most expensive facets or category tree of the set, median of five"
            .to_owned();
    let target = format!("at most {most_allowed} ms");
    let mut result = LimitResult::new("worst_facets", what, &target, most, "ms", most <= most_allowed);
    let categories = facets.iter().filter(|cost| cost.kind == Kind::Categories);
    result.details = vec![
        ("requests".to_owned(), facets.len() as f64),
        (
            "categories_ms".to_owned(),
            greatest(categories.map(|cost| cost.total_ms())),
        ),
    ];
    result
}

/// The ten most expensive by buffers and by time.
fn print_worst(costs: &[Cost]) {
    const SHOWN: usize = 10;
    let by = |what: &str, measure: &dyn Fn(&Cost) -> f64| {
        let mut sorted: Vec<&Cost> = costs.iter().collect();
        sorted.sort_by(|left, right| measure(right).total_cmp(&measure(left)));
        eprintln!("the worst by {what}:");
        for cost in sorted.iter().take(SHOWN) {
            eprintln!(
                "{:>8.0} buffers {:>8.1} ms database {:>6.1} ms api  {}  {}",
                cost.buffers, cost.database_ms, cost.api_ms, cost.status, cost.path
            );
        }
    };
    by("buffers", &|cost| cost.buffers);
    by("time", &Cost::total_ms);
}

fn greatest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
