//! Rules on the documentation of lessons: each has its page, and the README's table is up to date.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use techniques::{LESSONS, Lesson};

use super::Finding;
use super::files::{Files, TextFile};

const BEGIN: &str = "<!-- lessons:begin -->";
const END: &str = "<!-- lessons:end -->";

pub(crate) fn check(files: &Files) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for lesson in LESSONS {
        let path = page(lesson);
        if files.find(&path).is_none() {
            findings.push(Finding::new(
                &path,
                1,
                format!("lesson `{}` has no page", lesson.name),
            ));
        }
    }
    let table = table(&recorded_reports(files)?);
    match files
        .find("README.md")
        .and_then(|readme| between_markers(&readme.text))
    {
        None => findings.push(Finding::new(
            "README.md",
            1,
            format!("has no lesson table between {BEGIN} and {END}"),
        )),
        Some((before, found, _)) if found != table => {
            let line = before.lines().count() + 1;
            findings.push(Finding::new(
                "README.md",
                line,
                "the lesson table is out of date: run cargo xtask tidy --fix",
            ));
        }
        Some(_) => {}
    }
    Ok(findings)
}

/// Writes the table into the README.
pub(crate) fn rewrite_table(files: &Files, root: &Path) -> Result<()> {
    let readme = files.find("README.md").context("there is no README.md")?;
    let Some((before, found, after)) = between_markers(&readme.text) else {
        bail!("README.md has no lesson table: add {BEGIN} and {END} on separate lines");
    };
    let table = table(&recorded_reports(files)?);
    if found != table {
        fs::write(root.join("README.md"), format!("{before}{table}{after}"))
            .context("cannot write README.md")?;
        println!("rewrote the lesson table of README.md");
    }
    Ok(())
}

fn page(lesson: &Lesson) -> String {
    format!("docs/lessons/{}.md", lesson.name)
}

/// The text before the table with the opening marker, the table, and the rest.
fn between_markers(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

fn table(reports: &[Recorded]) -> String {
    let mut table =
        String::from("\n| lesson | what it switches | arms | measured effect |\n|---|---|---|---|\n");
    for lesson in LESSONS {
        let arms: Vec<String> = lesson.arms.iter().map(|arm| format!("`{}`", arm.name)).collect();
        let newest = reports
            .iter()
            .find(|report| compared(&report.json, lesson).is_some());
        let effect = newest.map_or_else(
            || "not recorded yet".to_owned(),
            |report| {
                format!(
                    "{} · [{}]({})",
                    effect(&report.json, lesson),
                    report.day(),
                    report.path
                )
            },
        );
        let (name, page, summary) = (lesson.name, page(lesson), lesson.summary);
        table.push_str(&format!(
            "| [`{name}`]({page}) | {summary} | {} | {effect} |\n",
            arms.join(" → ")
        ));
    }
    table.push_str(
        "\nThe optimized arm against the baseline in the lesson's first scenario; above 1 is better, with the 95 % \
         interval. Where the baseline is wrong and not slow, how often. Each from the newest run on generated data that \
         compared the lesson: the date links to its report.\n",
    );
    table
}

/// A report under `loadtests/results/`.
struct Recorded {
    path: String,
    json: Value,
}

impl Recorded {
    fn day(&self) -> &str {
        let time = self.json["started_at"].as_str().unwrap_or("an unknown day");
        time.split('T').next().unwrap_or(time)
    }
}

/// The reports on generated data, newest first. Results on an imported catalogue hold only for that catalogue.
fn recorded_reports(files: &Files) -> Result<Vec<Recorded>> {
    let is_report = |file: &&TextFile| file.path.starts_with("loadtests/results/");
    let mut reports = Vec::new();
    for file in files.ending("/report.json").filter(is_report) {
        let json: Value =
            serde_json::from_str(&file.text).with_context(|| format!("{} is no JSON", file.path))?;
        // A run at another scale supplements a lesson's page.
        if json["scale"] == "s" {
            reports.push(Recorded {
                path: file.path.clone(),
                json,
            });
        }
    }
    // All times are UTC in one format, so they sort as texts.
    reports.sort_by(|a, b| b.json["started_at"].as_str().cmp(&a.json["started_at"].as_str()));
    Ok(reports)
}

/// The comparison of a lesson in a report, unless it was skipped.
fn compared<'a>(report: &'a Value, lesson: &Lesson) -> Option<&'a Value> {
    let lessons = report["lessons"].as_array()?;
    let found = lessons.iter().find(|found| found["name"] == lesson.name)?;
    (!found["skipped"].is_string()).then_some(found)
}

/// The outcomes that are faults of the baseline, and their names in the table.
const FAULTS: [(&str, &str); 2] = [("oversold", "units oversold"), ("lost", "events lost")];

/// The lesson's headline: the fault of its baseline, or the first scenario's median latency, or its CPU time.
fn effect(report: &Value, lesson: &Lesson) -> String {
    let Some(found) = compared(report, lesson) else {
        return "not recorded yet".to_owned();
    };
    if found["signature"]["holds"] != true {
        return "comparison failed".to_owned();
    }
    if let Some(fault) = fault(found, lesson) {
        return fault;
    }
    let scenario = &found["scenarios"][0];
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
            Recorded {
                path: path.to_owned(),
                json,
            }
        };
        let newer = serde_json::json!({ "scale": "s", "lessons": [{ "name": "indexes", "signature": { "holds": false } }] });
        let table = table(&[
            recorded("b/report.json", "2026-01-03", newer),
            recorded("a/report.json", "2026-01-02", report()),
        ]);
        let row = |name: &str| {
            table
                .lines()
                .find(|line| line.contains(&format!("`{name}`")))
                .unwrap()
        };
        assert!(row("pagination").ends_with("(median latency, depth 10k) · [2026-01-02](a/report.json) |"));
        assert!(row("indexes").ends_with("comparison failed · [2026-01-03](b/report.json) |"));
        assert!(row("listing").ends_with("| not recorded yet |"));
    }

    #[test]
    fn the_headline_is_the_first_scenarios_median_latency() {
        assert_eq!(
            effect(&report(), pagination()),
            "**12×** [9.9, 16] (median latency, depth 10k)"
        );
    }

    #[test]
    fn without_latency_the_headline_is_cpu_time() {
        let mut report = report();
        report["lessons"][0]["scenarios"][0]["ratios"]
            .as_array_mut()
            .unwrap()
            .pop();
        assert_eq!(
            effect(&report, pagination()),
            "**3.0×** [2.0, 4.0] (CPU, depth 10k)"
        );
    }

    #[test]
    fn a_fault_of_the_baseline_comes_before_its_cost() {
        let mut report = report();
        let arm = |name: &str, lost: u64| serde_json::json!({ "name": name, "outcomes": { "lost": lost } });
        report["lessons"][0]["scenarios"][0]["arms"] = vec![arm("offset", 3), arm("cursor", 0)].into();
        assert_eq!(effect(&report, pagination()), "**3 → 0** events lost (depth 10k)");
    }

    #[test]
    fn a_comparison_with_a_failed_activation_check_has_no_effect() {
        let mut report = report();
        report["lessons"][0]["signature"]["holds"] = false.into();
        assert_eq!(effect(&report, pagination()), "comparison failed");
    }

    #[test]
    fn the_table_is_found_between_its_markers() {
        let text = format!("intro\n{BEGIN}\nold\n{END}\nrest\n");
        let (before, found, after) = between_markers(&text).unwrap();
        assert_eq!(found, "\nold\n");
        assert_eq!(format!("{before}{found}{after}"), text);
        assert!(between_markers("no markers").is_none());
    }
}
