//! Rules on the documentation of lessons: each has its page, and the tables of lessons are up to date.

use anyhow::Result;
use serde_json::Value;
use techniques::{LESSONS, Lesson};

use super::Finding;
use super::files::Files;
use super::generated::Block;
use super::reports::{Run, recorded_runs};

/// A table in a document between two markers.
struct Table {
    document: &'static str,
    marker: &'static str,
    /// The way from the document to the root, and to the lessons' pages.
    root: &'static str,
    pages: &'static str,
    /// Each lesson, with the scenario whose effect is shown: its first, or the one of this name.
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

/// The README's lessons. The last one is a loss.
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
    // A run at another scale supplements a lesson's page.
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
                |(run, found)| {
                    let (root, path) = (self.root, &run.path);
                    let effect = effect(found, lesson, scenario);
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
             Where the baseline is wrong and not slow, how often. Each from the newest run on generated data that compared \
             the lesson: the date links to its report.\n",
        );
        table
    }
}

/// The outcomes that are faults of the baseline, and their names in the table.
const FAULTS: [(&str, &str); 2] = [("oversold", "units oversold"), ("lost", "events lost")];

/// A scenario's headline: the fault of the baseline, or the median latency, or the CPU time. Without a name, the first
/// scenario's.
fn effect(found: &Value, lesson: &Lesson, scenario: Option<&str>) -> String {
    if found["signature"]["holds"] != true {
        return "comparison failed".to_owned();
    }
    if scenario.is_none()
        && let Some(fault) = fault(found, lesson)
    {
        return fault;
    }
    let scenarios = found["scenarios"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let is_wanted = |found: &&Value| scenario.is_none_or(|name| found["name"] == name);
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

/// The fault of the baseline in the first scenario that has one. The baseline is the report's first arm; `LESSONS` may
/// lack it in this build.
fn fault(found: &Value, lesson: &Lesson) -> Option<String> {
    for scenario in found["scenarios"].as_array()? {
        let arms = scenario["arms"].as_array()?;
        let baseline = arms.first()?;
        let optimized = arms.iter().find(|arm| arm["name"] == lesson.optimized)?;
        let count = |arm: &Value, fault: &str| arm["outcomes"][fault].as_u64();
        for (fault, words) in FAULTS {
            let (before, after) = (count(baseline, fault), count(optimized, fault));
            if let (Some(before @ 1..), Some(after)) = (before, after) {
                let name = scenario["name"].as_str().unwrap_or_default();
                return Some(format!("**{before} → {after}** {words} ({name})"));
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
    format!("**{}×** [{}, {}]", short(value), short(bound(0)), short(bound(1)))
}

/// Two or three significant digits.
fn short(value: f64) -> String {
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
    fn each_lesson_has_the_newest_run_that_compared_it() {
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
    fn a_named_scenario_is_shown_instead_of_the_first() {
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
    fn a_fault_of_the_baseline_comes_before_its_cost() {
        let mut report = report();
        let arm = |name: &str, lost: u64| serde_json::json!({ "name": name, "outcomes": { "lost": lost } });
        report["lessons"][0]["scenarios"][0]["arms"] = vec![arm("offset", 3), arm("cursor", 0)].into();
        assert_eq!(
            effect(&report["lessons"][0], pagination(), None),
            "**3 → 0** events lost (depth 10k)"
        );
    }

    #[test]
    fn a_comparison_with_a_failed_activation_check_has_no_effect() {
        let mut report = report();
        report["lessons"][0]["signature"]["holds"] = false.into();
        assert_eq!(
            effect(&report["lessons"][0], pagination(), None),
            "comparison failed"
        );
    }
}
