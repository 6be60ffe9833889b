//! Rules on the documentation of lessons: each lesson has a page, and the tables of lessons are up to date.

use anyhow::Result;
use serde_json::Value;
use techniques::{LESSONS, Lesson};

use super::Finding;
use super::files::Files;
use super::generated::Block;
use super::reports::{Run, recorded_runs};

/// A generated table of lessons, between two markers in a document.
struct Table {
    document: &'static str,
    marker: &'static str,
    /// Relative path from the document to the repository's root.
    root: &'static str,
    /// Relative path from the document to the lessons' pages.
    pages: &'static str,
    /// The lessons, each with the name of the scenario to show. `None` shows the first.
    rows: fn() -> Vec<(&'static Lesson, Option<&'static str>)>,
}

const TABLES: [Table; 2] = [
    Table {
        document: "README.md",
        marker: "results",
        root: "",
        pages: "docs/lessons/",
        rows: || {
            SHOWN
                .iter()
                .filter_map(|(name, scenario)| Some((lesson(name)?, *scenario)))
                .collect()
        },
    },
    Table {
        document: "docs/lessons/README.md",
        marker: "lessons",
        root: "../../",
        pages: "",
        rows: || LESSONS.iter().map(|lesson| (lesson, None)).collect(),
    },
];

/// The README's lessons, with the scenario to show. In the last one, the optimized arm is slower than the baseline.
const SHOWN: [(&str, Option<&str>); 5] = [
    ("pagination", None),
    ("planner_estimates", None),
    ("stock", None),
    ("checkout", None),
    ("catalog_cache", Some("cold")),
];

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for lesson in LESSONS {
        let path = page(lesson);
        if files.find(&path).is_none() {
            let message = format!("lesson `{}` has no page", lesson.name);
            findings.push(Finding::new(&path, 1, message));
        }
    }
    findings
}

/// The tables of lessons.
pub(crate) fn blocks(files: &Files) -> Result<Vec<Block>> {
    let mut runs = recorded_runs(files)?;
    // Runs at other scales appear only on the lessons' pages.
    runs.retain(|run| run.report["scale"] == "s");
    let block = |table: Table| Block {
        document: table.document.to_owned(),
        name: table.marker.to_owned(),
        text: table.render(&runs),
    };
    Ok(TABLES.map(block).into())
}

fn lesson(name: &str) -> Option<&'static Lesson> {
    LESSONS.iter().find(|lesson| lesson.name == name)
}

fn page(lesson: &Lesson) -> String {
    format!("docs/lessons/{}.md", lesson.name)
}

impl Table {
    fn render(&self, runs: &[Run]) -> String {
        let mut table =
            String::from("\n| lesson | what it switches | arms | measured effect |\n|---|---|---|---|\n");
        for (lesson, scenario) in (self.rows)() {
            let arms: Vec<String> = lesson.arms.iter().map(|arm| format!("`{}`", arm.name)).collect();
            let newest = runs.iter().find_map(|run| Some((run, run.lesson(lesson.name)?)));
            let effect = newest.map_or_else(
                || "not recorded yet".to_owned(),
                |(run, results)| {
                    let (root, path) = (self.root, &run.path);
                    let effect = effect(results, lesson, scenario);
                    format!("{effect} · [{}]({root}{path})", run.day())
                },
            );
            let (name, summary) = (lesson.name, lesson.summary);
            table.push_str(&format!(
                "| [`{name}`]({}{name}.md) | {summary} | {} | {effect} |\n",
                self.pages,
                arms.join(" → ")
            ));
        }
        table.push_str(
            "\nThe optimized arm against the baseline in the named scenario; above 1 is better, with the 95 % interval. \
             If the baseline is incorrect rather than slow, the number of errors. Each row is from the newest run on \
             generated data that compared the lesson; the date links to its report.\n",
        );
        table
    }
}

/// Outcomes in reports that count errors, and their labels in the table.
const FAULTS: [(&str, &str); 2] = [("oversold", "units oversold"), ("lost", "events lost")];

/// The effect that the table shows: the baseline's errors in any scenario, or else the ratio of median latencies or of
/// CPU time in the first one. With the name of a scenario, that scenario's ratio.
fn effect(results: &Value, lesson: &Lesson, scenario: Option<&str>) -> String {
    if results["signature"]["holds"] != true {
        return "comparison failed".to_owned();
    }
    if scenario.is_none()
        && let Some(fault) = fault(results, lesson)
    {
        return fault;
    }
    let scenarios = results["scenarios"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let is_wanted = |other: &&Value| scenario.is_none_or(|name| other["name"] == name);
    let Some(scenario) = scenarios.iter().find(is_wanted) else {
        return "not measured".to_owned();
    };
    let ratios = scenario["ratios"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ratio = [("latency_p50", "median latency"), ("cpu_total", "CPU")]
        .iter()
        .find_map(|(metric, label)| {
            let is_headline = |ratio: &&Value| ratio["metric"] == *metric && ratio["arm"] == lesson.optimized;
            Some((ratios.iter().find(is_headline)?, label))
        });
    let name = scenario["name"].as_str().unwrap_or("first scenario");
    match ratio {
        Some((ratio, label)) => format!("{} ({label}, {name})", number_with_interval(ratio)),
        None => format!("not measured ({name})"),
    }
}

/// The baseline's errors in the first scenario that has any. The baseline is the report's first arm, because `LESSONS`
/// lacks it in a build without baselines.
fn fault(results: &Value, lesson: &Lesson) -> Option<String> {
    for scenario in results["scenarios"].as_array()? {
        let arms = scenario["arms"].as_array()?;
        let baseline = arms.first()?;
        let optimized = arms.iter().find(|arm| arm["name"] == lesson.optimized)?;
        let count = |arm: &Value, fault: &str| arm["outcomes"][fault].as_u64();
        for (fault, label) in FAULTS {
            let (before, after) = (count(baseline, fault), count(optimized, fault));
            if let (Some(before @ 1..), Some(after)) = (before, after) {
                let name = scenario["name"].as_str().unwrap_or_default();
                return Some(format!("**{before} → {after}** {label} ({name})"));
            }
        }
    }
    None
}

fn number_with_interval(ratio: &Value) -> String {
    let verdict = ratio["verdict"].as_str().unwrap_or_default();
    if verdict.starts_with("no ") {
        return "no measurable difference".to_owned();
    }
    let value = ratio["value"].as_f64().unwrap_or(f64::NAN);
    let bound = |index: usize| ratio["ci95"][index].as_f64().unwrap_or(f64::NAN);
    format!(
        "**{}×** [{}, {}]",
        rounded(value),
        rounded(bound(0)),
        rounded(bound(1))
    )
}

/// Two significant digits or all digits before the decimal point; two decimals below 1.
fn rounded(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Value {
        serde_json::json!({
            "started_at": "2026-01-02T03:04:05Z", "scale": "s",
            "lessons": [{
                "name": "pagination", "signature": { "holds": true },
                "scenarios": [{ "name": "depth 10k", "ratios": [
                    { "metric": "cpu_total", "arm": "cursor", "value": 3.0, "ci95": [2.0, 4.0], "verdict": "better" },
                    { "metric": "latency_p50", "arm": "cursor", "value": 12.34, "ci95": [9.87, 15.6], "verdict": "better" },
                ] }],
            }],
        })
    }

    fn pagination() -> &'static Lesson {
        LESSONS.iter().find(|lesson| lesson.name == "pagination").unwrap()
    }

    #[test]
    fn each_lesson_shows_the_newest_run_that_compared_it() {
        let recorded = |path: &str, day: &str, json: Value| {
            let mut json = json;
            json["started_at"] = format!("{day}T03:04:05Z").into();
            Run {
                path: path.to_owned(),
                report: json,
            }
        };
        let newer = serde_json::json!({ "scale": "s", "lessons": [{ "name": "indexes", "signature": { "holds": false } }] });
        let table = TABLES[1].render(&[
            recorded("b/report.json", "2026-01-03", newer),
            recorded("a/report.json", "2026-01-02", report()),
        ]);
        let row = |name: &str| {
            table
                .lines()
                .find(|line| line.contains(&format!("`{name}`")))
                .unwrap()
        };
        assert!(
            row("pagination").ends_with("(median latency, depth 10k) · [2026-01-02](../../a/report.json) |")
        );
        assert!(row("indexes").ends_with("comparison failed · [2026-01-03](../../b/report.json) |"));
        assert!(row("listing").ends_with("| not recorded yet |"));
    }

    #[test]
    fn the_headline_is_the_first_scenarios_median_latency() {
        assert_eq!(
            effect(&report()["lessons"][0], pagination(), None),
            "**12×** [9.9, 16] (median latency, depth 10k)"
        );
    }

    #[test]
    fn a_named_scenario_replaces_the_first() {
        let mut report = report();
        let scenarios = &mut report["lessons"][0]["scenarios"];
        let mut cold = scenarios[0].clone();
        cold["name"] = "cold".into();
        cold["ratios"][1]["value"] = 0.5.into();
        scenarios.as_array_mut().unwrap().push(cold);
        let effect = |scenario| effect(&report["lessons"][0], pagination(), Some(scenario));
        assert_eq!(effect("cold"), "**0.50×** [9.9, 16] (median latency, cold)");
        assert_eq!(effect("lukewarm"), "not measured");
    }

    #[test]
    fn the_readmes_lessons_exist() {
        assert_eq!((TABLES[0].rows)().len(), SHOWN.len());
    }

    #[test]
    fn without_latency_the_headline_is_cpu_time() {
        let mut report = report();
        report["lessons"][0]["scenarios"][0]["ratios"]
            .as_array_mut()
            .unwrap()
            .pop();
        assert_eq!(
            effect(&report["lessons"][0], pagination(), None),
            "**3.0×** [2.0, 4.0] (CPU, depth 10k)"
        );
    }

    #[test]
    fn errors_of_the_baseline_take_precedence_over_ratios() {
        let mut report = report();
        let arm = |name: &str, lost: u64| serde_json::json!({ "name": name, "outcomes": { "lost": lost } });
        report["lessons"][0]["scenarios"][0]["arms"] = vec![arm("offset", 3), arm("cursor", 0)].into();
        assert_eq!(
            effect(&report["lessons"][0], pagination(), None),
            "**3 → 0** events lost (depth 10k)"
        );
    }

    #[test]
    fn a_failed_activation_check_is_shown_instead_of_an_effect() {
        let mut report = report();
        report["lessons"][0]["signature"]["holds"] = false.into();
        assert_eq!(
            effect(&report["lessons"][0], pagination(), None),
            "comparison failed"
        );
    }
}
