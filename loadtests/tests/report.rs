//! The record of a comparison, and the page and table made from it.

use loadtests::load::to_base64;
use loadtests::report::{
    ArmReport, Claim, ClaimCheck, ClaimVerdict, Cost, CpuCost, Effort, Latency, LessonReport, Limit, Machine,
    Metric, Mode, NoiseFloor, Ratio, Report, SCHEMA, SameAnswers, ScenarioReport, Shows, Signature,
    StatementCost, Verdict, read, render, table, write,
};
use serde_json::{Value, json};
use techniques::{LESSONS, Lesson};

/// A histogram of nanoseconds around a median.
fn histogram(median_ms: f64) -> String {
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3).expect("a histogram of these values");
    for step in 1..=2_000u64 {
        let share = step as f64 / 2_000.0;
        histogram
            .record((median_ms * 1e6 * (0.6 + 0.8 * share + 1.5 * share.powi(30))) as u64)
            .expect("a histogram of these values");
    }
    to_base64(&histogram)
}

fn arm(name: &str, p50: f64, queries: f64) -> ArmReport {
    ArmReport {
        name: name.into(),
        cost: Cost {
            queries_per_request: Some(queries),
            rows_per_request: Some(21.0),
            buffers_per_request: Some(queries * 30.0),
            round_trips_per_request: Some(queries),
            response_bytes: Some(8_200.0),
            postgres_bytes: Some(queries * 4_000.0),
            wal_bytes: Some(0.0),
            ..Cost::default()
        },
        cpu_us_per_request: CpuCost {
            api: Some(110.0),
            postgres: Some(p50 * 700.0),
            redis: Some(0.0),
            ..CpuCost::default()
        },
        latency_ms: Latency {
            p50: Some(p50),
            p95: Some(p50 * 2.0),
            p99: None,
            p999: None,
            samples: 2_000,
        },
        capacity_rps: None,
        errors: Some(0),
        histogram: Some(histogram(p50)),
        statements: vec![StatementCost {
            text: "select id from products where active order by created_at desc limit $1".into(),
            calls_per_request: queries,
            rows_per_request: 21.0,
            buffers_per_request: 30.0,
            plan: Some("Limit → Index Scan on products_newest_idx".into()),
            no_plan_because: None,
        }],
        ..ArmReport::default()
    }
}

fn ratio(metric: Metric, lesson: &LessonReport, value: f64, verdict: Verdict) -> Ratio {
    Ratio {
        metric,
        arm: lesson.optimized.clone(),
        against: lesson.baseline.clone(),
        value,
        ci95: [value - 0.125, value + 0.125],
        verdict,
        exact: false,
        blocks: vec![value; 8],
    }
}

/// A lesson's report without scenarios.
fn lesson_report(lesson: &Lesson) -> LessonReport {
    LessonReport {
        name: lesson.name.into(),
        question: lesson.question.into(),
        baseline: lesson.baseline.into(),
        optimized: lesson.optimized.into(),
        context: [("catalog_cache".to_owned(), "none".to_owned())].into(),
        signature: Some(Signature {
            expected: "41 statements; 2".into(),
            observed: "41; 2".into(),
            holds: true,
        }),
        same_answers: Some(SameAnswers {
            compared: 48,
            ..SameAnswers::default()
        }),
        scenarios: Vec::new(),
        claim: Some(Claim {
            text: "A guide claims much.".into(),
            ratio: 13.2,
        }),
        claim_verdict: Some(ClaimVerdict::Confirmed),
        why: "Because fewer rows are read.".into(),
        limit: Some(Limit {
            what: "pgbench".into(),
            value: Some(9_000.0),
            reached: Some(0.47),
            unit: "requests/s".into(),
        }),
        effort: Effort {
            lines_baseline: Some(40),
            lines_optimized: Some(60),
            files: [("a.rs".to_owned(), 40)].into(),
        },
        failed: None,
        skipped: None,
        claims: vec![ClaimCheck {
            claim: Claim {
                text: "A guide claims much.".into(),
                ratio: 13.2,
            },
            measured: Some([20.0, 19.0, 21.0]),
            measured_as: "headline, latency".into(),
            verdict: Some(ClaimVerdict::Confirmed),
            reason: "At least half of the gain.".into(),
        }],
        notes: vec!["A note.".into()],
    }
}

/// The same with scenarios at four depths.
fn with_scenarios(mut report: LessonReport) -> LessonReport {
    let (baseline, optimized) = (report.baseline.clone(), report.optimized.clone());
    report.scenarios = [0u64, 1_000, 10_000, 100_000]
        .into_iter()
        .map(|depth| ScenarioReport {
            name: format!("depth {depth}"),
            parameters: [
                ("depth".to_owned(), json!(depth)),
                ("limit".to_owned(), json!(20)),
            ]
            .into(),
            shows: if depth == 0 { Shows::Loss } else { Shows::Gain },
            arms: vec![
                arm(&baseline, 0.75 + depth as f64 / 2_048.0, 41.0),
                arm(&optimized, 0.625, 2.0),
            ],
            ratios: vec![
                ratio(
                    Metric::LatencyP50,
                    &report,
                    1.125 + depth as f64 / 2_048.0,
                    Verdict::Better,
                ),
                ratio(Metric::CpuTotal, &report, 0.875, Verdict::Worse),
                Ratio {
                    exact: true,
                    ..ratio(Metric::Queries, &report, 20.5, Verdict::Better)
                },
            ],
            skipped: None,
        })
        .collect();
    report
}

/// A report whose numbers binary fractions hold exactly, with a lesson of each name that the product has.
fn report() -> Report {
    Report {
        schema: SCHEMA,
        commit: "0123456789ab".into(),
        started_at: "2026-11-20T12:00:00Z".into(),
        scale: "s".into(),
        mode: Mode::Quick,
        machine: Machine {
            cores: 2,
            cpu: "a processor".into(),
            memory: "23 GiB".into(),
            kernel: "6.1".into(),
            postgres: Some("15.18".into()),
            ..Machine::default()
        },
        noise_floor: LESSONS
            .iter()
            .map(|lesson| NoiseFloor {
                metric: Metric::LatencyP50,
                ratio: 1.0,
                ci95: [0.96875, 1.0625],
                lesson: lesson.name.into(),
                blocks: Vec::new(),
            })
            .collect(),
        lessons: LESSONS
            .iter()
            .map(|lesson| with_scenarios(lesson_report(lesson)))
            .collect(),
        seed: 1,
        duration_s: Some(431.0),
        settings: [("offered rate".to_owned(), "half of the slower arm's".to_owned())].into(),
        left_out: Vec::new(),
    }
}

fn has(value: &Value, expected: &[&str]) {
    let keys = keys(value);
    for key in expected {
        assert!(keys.contains(key), "`{key}` is missing among {keys:?}");
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn a_report_survives_its_file() {
    let folder = std::env::temp_dir().join(format!("backstock-report-{}", std::process::id()));
    let report = report();
    let page = write(&report, &folder).unwrap();
    assert!(
        read(&folder.join("report.json")).unwrap() == report,
        "what was read is not what was written"
    );
    assert_eq!(std::fs::read_to_string(page).unwrap(), render(&report).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_record_has_the_keys_that_tools_rely_on() {
    let json = serde_json::to_value(report()).unwrap();
    has(
        &json,
        &[
            "schema",
            "commit",
            "started_at",
            "scale",
            "mode",
            "machine",
            "noise_floor",
            "lessons",
        ],
    );
    has(
        &json["machine"],
        &[
            "cores", "cpu", "memory", "kernel", "postgres", "redis", "rabbitmq",
        ],
    );
    has(&json["noise_floor"][0], &["metric", "ratio", "ci95"]);
    let lesson = &json["lessons"][0];
    has(
        lesson,
        &[
            "name",
            "question",
            "baseline",
            "optimized",
            "context",
            "signature",
            "same_answers",
            "scenarios",
            "claim",
            "claim_verdict",
            "why",
            "limit",
            "effort",
        ],
    );
    has(&lesson["signature"], &["expected", "observed", "holds"]);
    has(&lesson["same_answers"], &["compared", "different"]);
    has(&lesson["claim"], &["text", "ratio"]);
    has(&lesson["limit"], &["what", "value", "reached"]);
    has(&lesson["effort"], &["lines_baseline", "lines_optimized"]);
    assert_eq!(json["schema"], 1);
    assert_eq!(
        (&json["mode"], &lesson["claim_verdict"]),
        (&json!("quick"), &json!("confirmed"))
    );
}

#[test]
fn its_scenarios_have_the_keys_that_tools_rely_on() {
    let json = serde_json::to_value(report()).unwrap();
    let lesson = &json["lessons"][0];
    let scenario = &lesson["scenarios"][0];
    has(scenario, &["name", "parameters", "shows", "arms", "ratios"]);
    let arm = &scenario["arms"][0];
    has(
        arm,
        &[
            "name",
            "cost",
            "cpu_us_per_request",
            "latency_ms",
            "capacity_rps",
            "errors",
            "outcomes",
        ],
    );
    has(
        &arm["cost"],
        &[
            "queries_per_request",
            "rows_per_request",
            "buffers_per_request",
            "round_trips_per_request",
            "response_bytes",
        ],
    );
    has(
        &arm["cpu_us_per_request"],
        &["api", "worker", "postgres", "redis", "rabbitmq"],
    );
    has(&arm["latency_ms"], &["p50", "p95", "p99", "p999", "samples"]);
    has(
        &scenario["ratios"][0],
        &["metric", "arm", "against", "value", "ci95", "verdict"],
    );
    assert_eq!(scenario["shows"], json!("loss"));
    assert_eq!(
        arm["latency_ms"]["p99"],
        Value::Null,
        "what is not measured is null"
    );
}

#[test]
fn a_record_of_another_schema_is_refused() {
    let path = std::env::temp_dir().join(format!("backstock-schema-{}.json", std::process::id()));
    let mut json = serde_json::to_value(report()).unwrap();
    json["schema"] = json!(2);
    std::fs::write(&path, json.to_string()).unwrap();
    let fault = read(&path).unwrap_err().to_string();
    assert!(fault.contains("schema 2"), "{fault}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_page_is_self_contained_and_shows_every_lesson() {
    let page = render(&report()).unwrap();
    for lesson in LESSONS {
        assert!(
            page.contains(&format!("id=\"{}\"", lesson.name)),
            "{} is missing",
            lesson.name
        );
    }
    for outside in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "the page loads something: {outside}");
    }
    for placeholder in ["#010101", "#020202", "#030303", "#040404", "#050505"] {
        assert!(
            !page.contains(placeholder),
            "a plot kept the placeholder colour {placeholder}"
        );
    }
    assert!(
        page.matches("<svg").count() > 2 * LESSONS.len(),
        "plots are missing"
    );
}

#[test]
fn texts_are_escaped() {
    let mut report = report();
    report.lessons[0].why = "a < b & <b>c</b>".into();
    let page = render(&report).unwrap();
    assert!(page.contains("a &#60; b") || page.contains("a &lt; b"));
    assert!(!page.contains("<b>c</b>"));
}

#[test]
fn a_comparison_that_failed_shows_no_ratio() {
    let mut report = report();
    report.lessons.truncate(1);
    report.noise_floor.clear();
    let signature = report.lessons[0].signature.as_mut().unwrap();
    signature.holds = false;
    signature.observed = "2 statements; 2 statements".into();
    let (page, table) = (render(&report).unwrap(), table(&report));
    assert!(page.contains("This comparison failed"));
    assert!(page.contains("2 statements; 2 statements"));
    assert!(table.contains("FAILED"), "{table}");
    for shown in [&page, &table] {
        assert!(!shown.contains('×'), "a void comparison prints a ratio");
    }
}

#[test]
fn arms_that_answer_differently_make_a_comparison_void() {
    let mut report = report();
    assert!(report.lessons[0].holds());
    report.lessons[0].same_answers.as_mut().unwrap().different = 1;
    assert!(!report.lessons[0].holds());
    assert!(table(&report).contains("FAILED"));
}

#[test]
fn lessons_that_were_left_out_are_named_with_how_to_run_them() {
    let mut report = report();
    assert!(!render(&report).unwrap().contains("Left out"));
    report.left_out = vec!["events".to_owned(), "sales_counts".to_owned()];
    let (page, table) = (render(&report).unwrap(), table(&report));
    for shown in [&page, &table] {
        assert!(shown.contains("events, sales_counts"), "{shown}");
        assert!(
            shown.contains("--lesson NAME") && shown.contains("--all"),
            "{shown}"
        );
    }
}

#[test]
fn what_the_data_cannot_show_is_named_with_its_reason_and_fails_nothing() {
    let mut report = report();
    report.scale = "import".into();
    report.note_import("products.csv".into(), "ab12".into(), 20);
    report.lessons.truncate(2);
    let whole = &mut report.lessons[0];
    (whole.signature, whole.same_answers) = (None, None);
    whole.skipped = Some("only 20 products, of 50000".into());
    let part = &mut report.lessons[1].scenarios[3];
    part.ratios.clear();
    part.arms = vec![ArmReport::default(); 2];
    part.skipped = Some("only 20 products".into());
    assert!(report.lessons.iter().all(LessonReport::holds));

    let (page, table) = (render(&report).unwrap(), table(&report));
    assert!(
        table.contains("imported from products.csv: 20 products"),
        "{table}"
    );
    assert!(page.contains("imported from products.csv: 20 products"));
    assert!(!table.contains("FAILED"), "{table}");
    assert!(
        table.contains("not on this data: only 20 products, of 50000"),
        "{table}"
    );
    let of_scenario = format!(
        "{}, depth 100000: not measured: only 20 products",
        report.lessons[1].name
    );
    assert!(table.contains(&of_scenario), "{table}");
    assert!(page.contains("only 20 products, of 50000"));
    assert!(page.contains("Not measured:</b> only 20 products."));

    let json = serde_json::to_value(&report).unwrap();
    assert!(json["lessons"][0]["signature"].is_null() && json["lessons"][0]["same_answers"].is_null());
    assert!(json["lessons"][1]["scenarios"][3]["arms"][0]["latency_ms"]["p50"].is_null());
    let settings = &json["settings"];
    assert_eq!(settings["imported file"], "products.csv");
    assert_eq!(settings["imported file, SHA-256"], "ab12");
    assert_eq!(settings["imported products"], "20");
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

#[test]
fn the_table_has_a_row_for_each_lesson() {
    let table = table(&report());
    for lesson in LESSONS {
        assert!(table.contains(lesson.name), "{table}");
    }
}
