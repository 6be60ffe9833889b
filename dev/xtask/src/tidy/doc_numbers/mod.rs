//! The rule on the measured block of each lesson's page: it matches the newest recorded run.
//!
//! Reports are read as plain JSON, because nothing may import the lab. Read next: `block.rs`.

mod block;
mod table;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use techniques::LESSONS;

use super::Finding;
use super::files::{Files, TextFile};

const BEGIN: &str = "<!-- measured:begin -->";
const END: &str = "<!-- measured:end -->";

/// Missing pages are reported by the rules on lessons.
pub(crate) fn check(files: &Files) -> Result<Vec<Finding>> {
    let runs = recorded_runs(files)?;
    let mut findings = Vec::new();
    for (lesson, page) in pages(files) {
        let Some((before, found, _)) = between_markers(&page.text) else {
            let message = format!("has no measured block between {BEGIN} and {END}");
            findings.push(Finding::new(&page.path, 1, message));
            continue;
        };
        if found != block::text(lesson, &runs) {
            let message =
                "the measured block differs from the newest recorded run: run cargo xtask tidy --fix";
            findings.push(Finding::new(&page.path, before.lines().count() + 1, message));
        }
    }
    Ok(findings)
}

/// Rewrites the measured blocks.
pub(crate) fn rewrite_blocks(files: &Files, root: &Path) -> Result<()> {
    let runs = recorded_runs(files)?;
    for (lesson, page) in pages(files) {
        let Some((before, found, after)) = between_markers(&page.text) else {
            continue;
        };
        let block = block::text(lesson, &runs);
        if found != block {
            let path = root.join(&page.path);
            fs::write(&path, format!("{before}{block}{after}"))
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("rewrote the measured block of {}", page.path);
        }
    }
    Ok(())
}

/// Each lesson's name and page.
fn pages(files: &Files) -> impl Iterator<Item = (&'static str, &TextFile)> {
    LESSONS.iter().filter_map(|lesson| {
        Some((
            lesson.name,
            files.find(&format!("docs/lessons/{}.md", lesson.name))?,
        ))
    })
}

/// The text before the block with the opening marker, the block, and the rest.
fn between_markers(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

/// A recorded run of `compare`.
struct Run {
    /// The path of its `report.json`.
    path: String,
    report: Value,
}

impl Run {
    /// The lesson's results. None when the run skipped it.
    fn lesson(&self, name: &str) -> Option<&Value> {
        block::array(&self.report["lessons"])
            .iter()
            .find(|lesson| lesson["name"] == name && lesson["skipped"].is_null())
    }
}

/// All recorded runs on generated data, the newest first. Results on an imported catalogue hold only for that catalogue.
fn recorded_runs(files: &Files) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for file in files.ending("/report.json") {
        if !file.path.starts_with("loadtests/results/") {
            continue;
        }
        let report: Value =
            serde_json::from_str(&file.text).with_context(|| format!("{} is no JSON", file.path))?;
        if report["scale"] == "import" {
            continue;
        }
        if !report["started_at"].is_string() {
            bail!("{} has no `started_at`", file.path);
        }
        let path = file.path.clone();
        runs.push(Run { path, report });
    }
    // All times are UTC in one format, so they sort as texts.
    runs.sort_by(|a, b| {
        b.report["started_at"]
            .as_str()
            .cmp(&a.report["started_at"].as_str())
    });
    Ok(runs)
}
