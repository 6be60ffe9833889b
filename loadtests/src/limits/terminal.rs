//! What a run of the limits shows: its progress, and its table.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use indicatif::{ProgressBar, ProgressStyle};

use super::LimitResult;

pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(steps: u64) -> Progress {
        let bar = ProgressBar::new(steps);
        let style = ProgressStyle::with_template("{spinner} [{pos}/{len}] {msg} ({elapsed})");
        bar.set_style(style.expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar }
    }

    pub(super) fn next(&self, what: &'static str) {
        self.bar.inc(1);
        self.bar.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

pub(super) fn as_table(results: &[LimitResult]) -> Table {
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
