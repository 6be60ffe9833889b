//! The table of both shops.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};

use super::Row;

/// What is printed.
pub(super) fn render(names: [&str; 2], rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let [left, right] = names;
    table.set_header([
        String::new(),
        format!("statements\n{left}"),
        format!("\n{right}"),
        format!("bytes\n{left}"),
        format!("\n{right}"),
        format!("p50\n{left}"),
        format!("\n{right}"),
        "p50\nratio".to_owned(),
    ]);
    for row in rows {
        table.add_row([
            row.route.to_owned(),
            row.left.statements.to_string(),
            row.right.statements.to_string(),
            row.left.bytes.to_string(),
            row.right.bytes.to_string(),
            milliseconds(row.left.p50_ms),
            milliseconds(row.right.p50_ms),
            ratio(row.left.p50_ms, row.right.p50_ms),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "{table}\nOne client after the other, each answer asked for before: what a shop keeps in a cache comes from there. \
         A first look\nwithout intervals; `backstock-lab compare` measures each technique alone."
    )
}

fn milliseconds(value: Option<f64>) -> String {
    match value {
        Some(value) if value < 10.0 => format!("{value:.2} ms"),
        Some(value) => format!("{value:.0} ms"),
        None => "failed".to_owned(),
    }
}

fn ratio(left: Option<f64>, right: Option<f64>) -> String {
    match (left, right) {
        (Some(left), Some(right)) if left >= 10.0 * right && right > 0.0 => format!("{:.0}×", left / right),
        (Some(left), Some(right)) if right > 0.0 => format!("{:.1}×", left / right),
        _ => "—".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cell;
    use super::*;

    #[test]
    fn a_row_has_both_shops_and_what_failed_has_no_ratio() {
        let cell = |statements, p50_ms| Cell {
            statements,
            bytes: 1_234,
            p50_ms,
        };
        let row = |right| Row {
            route: "a route",
            left: cell(41, Some(30.0)),
            right: cell(0, right),
        };
        let said = render(["slow", "fast"], &[row(Some(0.5)), row(None)]);
        let lines: Vec<&str> = said.lines().filter(|line| line.contains("a route")).collect();
        assert!(
            lines[0].contains("41") && lines[0].contains("0.50 ms") && lines[0].contains("60×"),
            "{said}"
        );
        assert!(lines[1].contains("failed") && lines[1].contains('—'), "{said}");
    }
}
