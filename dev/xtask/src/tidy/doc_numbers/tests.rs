//! Tests of the measured block: a recorded run in, Markdown out.

use serde_json::{Value, json};

use super::block::{NOT_RECORDED, text as block};
use super::*;
use crate::tidy::files::TextFile;
use crate::tidy::generated;
use crate::tidy::reports::Run;

fn run(folder: &str, started_at: &str, lesson: Value) -> Run {
    let report = json!({
        "started_at": started_at, "commit": "abc1234", "scale": "s", "mode": "quick",
        "machine": {"cores": 2, "cpu": "A Processor", "memory": "8 GiB", "kernel": "6.1", "postgres": "15.18"},
        "noise_floor": [{"metric": "latency_p50", "ratio": 1.01, "ci95": [0.98, 1.04], "lesson": "pagination"}],
        "lessons": [lesson],
    });
    let path = format!("loadtests/results/{folder}/report.json");
    Run { path, report }
}

fn pagination() -> Value {
    json!({
        "name": "pagination", "baseline": "offset", "optimized": "cursor", "why": "Rows | are read.",
        "signature": {"expected": "fewer", "observed": "21 buffers", "holds": true},
        "same_answers": {"compared": 1200, "different": 0},
        "claims": [{"claim": {"text": "A guide claims much.", "ratio": 13.2}, "measured": [605.0, 590.0, 621.0],
                    "measured_as": "deep", "verdict": "confirmed", "reason": "Half of it was measured."}],
        "limit": {"what": "pgbench", "value": 12345.6, "reached": 0.5, "unit": "requests/s"},
        "scenarios": [{
            "name": "deep", "shows": "gain",
            "arms": [
                {"name": "offset", "latency_ms": {"p50": 35.71}, "cpu_us_per_request": {"api": 100.0, "postgres": 900.5},
                 "cost": {"queries_per_request": 1.0, "buffers_per_request": 99_000.0}},
                {"name": "cursor", "latency_ms": {"p50": 0.059}, "cpu_us_per_request": {"api": 100.0, "postgres": 50.0},
                 "cost": {"queries_per_request": 1.0, "buffers_per_request": 25.0}},
            ],
            "ratios": [
                {"metric": "latency_p50", "arm": "cursor", "against": "offset", "value": 605.0, "ci95": [590.0, 621.0],
                 "verdict": "better"},
                {"metric": "cpu_total", "arm": "cursor", "against": "offset", "value": 6.67, "ci95": [6.0, 7.0],
                 "verdict": "better"},
                {"metric": "queries", "arm": "cursor", "against": "offset", "value": 1.0, "ci95": [1.0, 1.0],
                 "verdict": "no measurable difference", "exact": true},
                {"metric": "buffers", "arm": "cursor", "against": "offset", "value": 3960.0, "ci95": [3960.0, 3960.0],
                 "verdict": "better", "exact": true},
            ],
        }],
    })
}

#[test]
fn a_block_has_the_numbers_the_claim_the_limit_and_the_machine() {
    let text = block(
        "pagination",
        &[run("2026-11-01-s", "2026-11-01T10:00:00Z", pagination())],
    );
    for part in [
        "| deep | latency, median | `offset` 35.7 ms | `cursor` 0.059 ms | × 605 (590 … 621) | better |",
        "|  | CPU, all processes | `offset` 1\u{202f}000 µs | `cursor` 150 µs | × 6.67 (6 … 7) | better |",
        "|  | shared buffers | `offset` 99\u{202f}000 | `cursor` 25 | × 3\u{202f}960, counted | better |",
        "latency, median × 1.01 (0.98 … 1.04)",
        "Rows \\| are read.",
        "**Claim: confirmed.** A guide claims much. Claimed × 13.2, measured × 605 (deep). Half of it was measured.",
        "pgbench: 12\u{202f}346 requests/s; `cursor` reaches 50 % of it.",
        "1\u{202f}200 requests compared, 0 different",
        "[report.json](../../loadtests/results/2026-11-01-s/report.json)",
        "2 × A Processor, 8 GiB, Linux 6.1, Postgres 15.18",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(
        !text.contains("statements"),
        "a count that doesn't differ is shown:\n{text}"
    );
}

#[test]
fn statements_that_a_cache_eliminates_are_shown_without_a_ratio() {
    let mut lesson = pagination();
    lesson["scenarios"][0]["arms"][1]["cost"]["queries_per_request"] = json!(0.0);
    lesson["scenarios"][0]["ratios"].as_array_mut().unwrap().remove(2);
    let text = block("pagination", &[run("a", "2026-11-01T10:00:00Z", lesson)]);
    assert!(
        text.contains("| statements | `offset` 1 | `cursor` 0 | counted | |"),
        "{text}"
    );
}

#[test]
fn a_void_comparison_has_no_ratio() {
    let mut lesson = pagination();
    lesson["signature"]["holds"] = json!(false);
    let text = block("pagination", &[run("a", "2026-11-01T10:00:00Z", lesson)]);
    assert!(text.contains("void") && !text.contains("605"), "{text}");
    let mut lesson = pagination();
    lesson["same_answers"]["different"] = json!(3);
    let text = block("pagination", &[run("a", "2026-11-01T10:00:00Z", lesson)]);
    assert!(
        text.contains("3 requests differently") && !text.contains("605"),
        "{text}"
    );
}

#[test]
fn a_lesson_that_no_run_compared_is_not_recorded_yet() {
    assert_eq!(
        block("search", &[run("a", "2026-11-01T10:00:00Z", pagination())]),
        format!("\n{NOT_RECORDED}\n")
    );
    assert_eq!(block("search", &[]), format!("\n{NOT_RECORDED}\n"));
}

#[test]
fn the_newest_run_that_compared_the_lesson_counts() {
    let mut older = pagination();
    older["why"] = json!("An older explanation.");
    let file = |folder: &str, started_at: &str, lesson: Value| TextFile {
        path: format!("loadtests/results/{folder}/report.json"),
        text: run(folder, started_at, lesson).report.to_string(),
    };
    let mut other = pagination();
    other["name"] = json!("search");
    let files = Files {
        all: vec![
            file("a", "2026-11-01T10:00:00Z", older),
            file("b", "2026-11-02T10:00:00Z", pagination()),
            file("c", "2026-11-03T10:00:00Z", other),
        ],
    };
    let runs = recorded_runs(&files).unwrap();
    let text = block("pagination", &runs);
    assert!(
        text.contains("results/b/report.json") && !text.contains("older"),
        "{text}"
    );
}

#[test]
fn runs_on_imported_data_and_skipped_lessons_are_ignored() {
    let file = |folder: &str, scale: &str, lesson: Value| {
        let mut report = run(folder, &format!("2026-11-0{folder}T10:00:00Z"), lesson).report;
        report["scale"] = json!(scale);
        TextFile {
            path: format!("loadtests/results/{folder}/report.json"),
            text: report.to_string(),
        }
    };
    let mut skipped = pagination();
    skipped["skipped"] = json!("only 1000 products");
    let files = Files {
        all: vec![
            file("1", "s", pagination()),
            file("2", "xs", skipped),
            file("3", "import", pagination()),
        ],
    };
    let text = block("pagination", &recorded_runs(&files).unwrap());
    assert!(text.contains("results/1/report.json"), "{text}");
}

#[test]
fn a_page_that_differs_from_the_recorded_run_is_found() {
    let page = |text: &str| TextFile {
        path: "docs/lessons/pagination.md".to_owned(),
        text: text.to_owned(),
    };
    let findings = |text: &str| {
        let files = Files {
            all: vec![page(text)],
        };
        generated::check(&files, &blocks(&files).unwrap())
    };
    let measured = |text: &str| format!("a\n<!-- measured:begin -->\n{text}\n<!-- measured:end -->\nb\n");
    assert!(findings(&measured(NOT_RECORDED)).is_empty());
    let stale = findings(&measured("605 times"));
    assert_eq!(stale.len(), 1);
    assert_eq!(stale[0].line, 3);
    assert_eq!(findings("no markers").len(), 1);
}
