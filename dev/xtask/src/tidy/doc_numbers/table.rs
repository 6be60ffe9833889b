//! The table of a measured block, and the format of its numbers.

use serde_json::Value;

use super::block::{array, line, str_of};

/// One row per ratio. Counted ratios are shown only where they differ.
pub(super) fn table(lesson: &Value) -> String {
    let mut rows = vec![
        "| scenario | what | before | after | ratio (95 %) | |".to_owned(),
        "|---|---|--:|--:|--:|---|".to_owned(),
    ];
    for scenario in array(&lesson["scenarios"]) {
        let mut name = match str_of(&scenario["shows"]) {
            "loss" => format!("{} (there to show a loss)", line(&scenario["name"])),
            _ => line(&scenario["name"]),
        };
        if let Some(reason) = scenario["skipped"].as_str() {
            rows.push(format!("| {name} | not measured: {reason} | | | | |"));
            continue;
        }
        let ratios = array(&scenario["ratios"])
            .iter()
            .filter_map(|ratio| row(scenario, ratio));
        for row in ratios.chain(counts_without_ratio(scenario)) {
            rows.push(format!("| {} {row}", std::mem::take(&mut name)));
        }
    }
    rows.join("\n")
}

/// A ratio's row without the first cell. None for a ratio that isn't shown.
fn row(scenario: &Value, ratio: &Value) -> Option<String> {
    const SAME: &str = "no measurable difference";
    let (what, ..) = metric(str_of(&ratio["metric"]))?;
    let verdict = line(&ratio["verdict"]);
    if ratio["exact"] == true && verdict == SAME {
        return None;
    }
    Some(format!(
        "| {what} | {} | {} | {} | {verdict} |",
        side(scenario, ratio, "against"),
        side(scenario, ratio, "arm"),
        ratio_text(ratio),
    ))
}

/// Rows for counts that are zero in only one arm, such as a cache's statements, because they have no ratio.
fn counts_without_ratio(scenario: &Value) -> Vec<String> {
    const COUNTED: [&str; 3] = ["queries", "buffers", "postgres_bytes"];
    let Some((baseline, others)) = array(&scenario["arms"]).split_first() else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    for arm in others {
        for name in COUNTED {
            let (what, at, _) = metric(name).expect("a metric that the page shows");
            let counts = (measured(baseline, at), measured(arm, at));
            if let (Some(before), Some(after)) = counts
                && (before == 0.0) != (after == 0.0)
            {
                let pair =
                    serde_json::json!({ "metric": name, "against": baseline["name"], "arm": arm["name"] });
                let (before, after) = (side(scenario, &pair, "against"), side(scenario, &pair, "arm"));
                rows.push(format!("| {what} | {before} | {after} | counted | |"));
            }
        }
    }
    rows
}

/// A shown metric's label, its JSON pointer in an arm's report, and its unit.
pub(super) fn metric(name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match name {
        "latency_p50" => ("latency, median", "/latency_ms/p50", " ms"),
        "latency_p99" => ("latency, p99", "/latency_ms/p99", " ms"),
        "cpu_total" => ("CPU, all processes", "/cpu_us_per_request", " µs"),
        "throughput" => ("throughput", "/throughput_rps", " /s"),
        "capacity" => ("capacity", "/capacity_rps", " /s"),
        "queries" => ("statements", "/cost/queries_per_request", ""),
        "buffers" => ("shared buffers", "/cost/buffers_per_request", ""),
        "round_trips" => ("round trips", "/cost/round_trips_per_request", ""),
        "response_bytes" => ("bytes of the answer", "/cost/response_bytes", ""),
        "postgres_bytes" => ("bytes from Postgres", "/cost/postgres_bytes", ""),
        "wal_bytes" => ("bytes of write-ahead log", "/cost/wal_bytes", ""),
        _ => return None,
    })
}

/// One side of a ratio: the arm in its field `role`, with its value.
fn side(scenario: &Value, ratio: &Value, role: &str) -> String {
    let name = str_of(&ratio[role]);
    let arm = array(&scenario["arms"]).iter().find(|arm| arm["name"] == name);
    let shown = arm
        .zip(metric(str_of(&ratio["metric"])))
        .and_then(|(arm, (_, at, unit))| Some(format!("{}{unit}", number(measured(arm, at)?))));
    format!("`{name}` {}", shown.as_deref().unwrap_or("–"))
}

/// A value of an arm. CPU time is reported per process and added up.
fn measured(arm: &Value, at: &str) -> Option<f64> {
    match arm.pointer(at)? {
        Value::Object(parts) => Some(parts.values().filter_map(Value::as_f64).sum()),
        value => value.as_f64(),
    }
}

fn ratio_text(ratio: &Value) -> String {
    let value = ratio["value"].as_f64().map_or_else(|| "–".to_owned(), number);
    match (ratio["exact"] == true, str_of(&ratio["metric"])) {
        // Capacity is the result of a search, without an interval.
        (true, "capacity") => format!("× {value}"),
        (true, _) => format!("× {value}, counted"),
        (false, _) => format!("× {value} {}", interval(&ratio["ci95"])),
    }
}

pub(super) fn interval(ci95: &Value) -> String {
    match (ci95[0].as_f64(), ci95[1].as_f64()) {
        (Some(low), Some(high)) => format!("({} … {})", number(low), number(high)),
        _ => String::new(),
    }
}

/// Three significant digits, with a narrow space as thousands separator.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        m if m >= 99.95 || m == 0.0 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        m if m >= 0.0995 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    if decimals > 0 {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let mut grouped = String::new();
    for (at, digit) in text.char_indices() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}
