//! The result of a comparison: `report.json`, the page made from it, and the table on the terminal.
//!
//! `report.json` is the record; the page and the table are views of it and can be rebuilt at any time with
//! `backstock-lab report`.
//!
//! Read next: `schema.rs`, the format.

mod command;
mod measured;
mod metric;
mod page;
mod plots;
mod schema;
mod terminal;
mod view;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use command::Command;
pub use metric::{Metric, Verdict};
pub use page::render;
pub use schema::{
    ArmReport, Claim, ClaimCheck, ClaimVerdict, Cost, CpuCost, Effort, Latency, LessonReport, Limit, Machine,
    Mode, NoiseFloor, Ratio, Report, SCHEMA, SameAnswers, ScenarioReport, Shows, Signature, StatementCost,
};
pub use terminal::table;
pub use view::format;

/// Reads a `report.json`.
pub fn read(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let report: Report = serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of this lab", path.display()))?;
    if report.schema != SCHEMA {
        bail!(
            "{} has schema {}; this lab reads schema {SCHEMA}",
            path.display(),
            report.schema
        );
    }
    Ok(report)
}

/// Writes `report.json` and `index.html` into a folder, which is made if it is missing. Answers the page's path.
pub fn write(report: &Report, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let json = serde_json::to_string_pretty(report).context("a report is always valid JSON")?;
    let record = folder.join("report.json");
    fs::write(&record, json + "\n").with_context(|| format!("cannot write {}", record.display()))?;
    let page = folder.join("index.html");
    fs::write(&page, render(report)?).with_context(|| format!("cannot write {}", page.display()))?;
    Ok(page)
}
