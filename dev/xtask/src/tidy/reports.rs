//! The recorded runs of `compare`, as plain JSON, because nothing may import the lab.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::files::Files;

/// A recorded run of `compare`.
pub(super) struct Run {
    /// The path of its `report.json`.
    pub(super) path: String,
    pub(super) report: Value,
}

impl Run {
    /// The lesson's results. None when the run skipped it.
    pub(super) fn lesson(&self, name: &str) -> Option<&Value> {
        let is_wanted = |lesson: &&Value| lesson["name"] == name && lesson["skipped"].is_null();
        self.report["lessons"].as_array()?.iter().find(is_wanted)
    }

    pub(super) fn day(&self) -> &str {
        let time = self.report["started_at"].as_str().unwrap_or("an unknown day");
        time.split('T').next().unwrap_or(time)
    }
}

/// All recorded runs on generated data, the newest first. Results on an imported catalogue hold only for that catalogue.
pub(super) fn recorded_runs(files: &Files) -> Result<Vec<Run>> {
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
