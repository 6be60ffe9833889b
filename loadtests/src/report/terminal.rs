//! The table at the end of `compare`.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use super::schema::Report;
use super::view::SummaryRow;

/// One row a lesson: its headline, before and after, and what became of the claim.
pub fn table(report: &Report) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "lesson",
            "scenario",
            "p50, ms",
            "ratio",
            "95 %",
            "CPU, µs",
            "statements",
            "claim",
        ]);
    for column in 2..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in report.lessons.iter().map(SummaryRow::new) {
        let lesson = Cell::new(format!("{}\n{}", row.name, row.arms)).add_attribute(Attribute::Bold);
        if !row.skipped.is_empty() {
            table.add_row([lesson, Cell::new(format!("not on this data: {}", row.skipped))]);
            continue;
        }
        if !row.failed.is_empty() {
            table.add_row([lesson, Cell::new("FAILED: no ratio").fg(Color::Red)]);
            continue;
        }
        table.add_row([
            lesson,
            Cell::new(format!("{}\n{}", row.scenario, row.wrong).trim_end()),
            Cell::new(row.p50),
            Cell::new(row.ratio).add_attribute(Attribute::Bold),
            Cell::new(row.interval),
            Cell::new(row.cpu),
            Cell::new(row.statements),
            Cell::new(row.claim),
        ]);
    }
    let mut text = table.to_string();
    if report.is_of_import() {
        text.insert_str(0, &format!("{}\n", report.data()));
    }
    for lesson in report.lessons.iter().filter(|lesson| lesson.skipped.is_none()) {
        for scenario in &lesson.scenarios {
            if let Some(reason) = &scenario.skipped {
                let (lesson, scenario) = (&lesson.name, &scenario.name);
                text.push_str(&format!("\n{lesson}, {scenario}: not measured: {reason}"));
            }
        }
    }
    if !report.left_out.is_empty() {
        let left_out = report.left_out.join(", ");
        text.push_str(&format!(
            "\nleft out: {left_out}; `--lesson NAME` measures one, `--all` every lesson"
        ));
    }
    for lesson in &report.lessons {
        for scenario in &lesson.scenarios {
            if let Some(arms) = scenario.saturated_generator() {
                let (lesson, scenario) = (&lesson.name, &scenario.name);
                text.push_str(&format!(
                    "\n{lesson}, {scenario}: the load generator was the bottleneck in a slice of {arms}"
                ));
            }
        }
    }
    text
}
