//! The measured block of each lesson's page: what the newest recorded run says of the lesson, as Markdown.
//!
//! `tidy` compares the pages with it, `tidy --fix` writes it. The record is read as plain JSON, since nothing may
//! import the lab. Read next: `block.rs`, the text.

mod block;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use storefront::variants::LESSONS;

const BEGIN: &str = "<!-- measured:begin -->";
const END: &str = "<!-- measured:end -->";

/// A page whose block is not what the recorded runs say.
pub struct OutdatedPage {
    /// The page's file.
    pub path: PathBuf,
    /// What it should hold.
    pub text: String,
}

/// Every lesson's page that has to be written anew.
///
/// # Errors
/// When a page is missing or has no block, or a record can't be read.
pub fn outdated_pages(root: &Path) -> Result<Vec<OutdatedPage>> {
    let runs = recorded_runs(root)?;
    let mut outdated = Vec::new();
    for lesson in LESSONS {
        let path = root.join("docs/lessons").join(format!("{}.md", lesson.name));
        let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = with_block(&page, &block::of(lesson.name, &runs))
            .with_context(|| format!("in {}", path.display()))?;
        if text != page {
            outdated.push(OutdatedPage { path, text });
        }
    }
    Ok(outdated)
}

/// A recorded run of `compare`.
pub struct Run {
    /// Its folder under `loadtests/results/`.
    pub folder: String,
    /// Its `report.json`.
    pub report: Value,
}

impl Run {
    /// What it says of a lesson.
    pub fn lesson(&self, name: &str) -> Option<&Value> {
        block::array(&self.report["lessons"])
            .iter()
            .find(|lesson| lesson["name"] == name)
    }
}

/// Every recorded run, the newest first.
///
/// # Errors
/// When a record can't be read or says not when it started.
pub fn recorded_runs(root: &Path) -> Result<Vec<Run>> {
    let results = root.join("loadtests/results");
    if !results.is_dir() {
        return Ok(Vec::new());
    }
    let mut runs = Vec::new();
    for entry in fs::read_dir(&results).with_context(|| format!("cannot read {}", results.display()))? {
        let entry = entry?;
        let path = entry.path().join("report.json");
        if !path.is_file() {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let report: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        if !report["started_at"].is_string() {
            bail!(
                "{} says not when it started: `started_at` is missing",
                path.display()
            );
        }
        let folder = entry.file_name().to_string_lossy().into_owned();
        runs.push(Run { folder, report });
    }
    // RFC 3339 in UTC sorts as text.
    runs.sort_by(|a, b| block::str_of(&b.report["started_at"]).cmp(block::str_of(&a.report["started_at"])));
    Ok(runs)
}

fn with_block(page: &str, block: &str) -> Result<String> {
    let (Some(begin), Some(end)) = (page.find(BEGIN), page.find(END)) else {
        bail!("there is no block between `{BEGIN}` and `{END}`");
    };
    let begin = begin + BEGIN.len();
    if end < begin {
        bail!("`{END}` comes before `{BEGIN}`");
    }
    Ok(format!("{}\n{block}\n{}", &page[..begin], &page[end..]))
}
