//! Rules on alerts: each has a runbook section in docs/OPERATIONS.md, and tests show it firing and not firing.

use std::collections::BTreeSet;

use super::Finding;
use super::files::{Files, TextFile};

const RULES: &str = "deploy/prometheus/rules/alerts.yml";
const TESTS: &str = "deploy/prometheus/tests/";
const RUNBOOK: &str = "docs/OPERATIONS.md";

/// The required fields, as the start of a line.
const FIELDS: [&str; 3] = ["severity:", "summary:", "description:"];

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(rules) = files.find(RULES) else {
        return findings; // A fork may use another monitoring system.
    };
    let sections = files.find(RUNBOOK).map(sections).unwrap_or_default();
    let (firing, silent) = tested(files);
    let alerts = alerts(rules);
    for Alert { name, line, text } in &alerts {
        let mut miss = |what: String| findings.push(Finding::new(RULES, *line, format!("`{name}` {what}")));
        for field in FIELDS {
            if !text.iter().any(|line| line.starts_with(field)) {
                miss(format!("has no {}", field.trim_end_matches(':')));
            }
        }
        let runbook = format!("runbook: {RUNBOOK}#{}", name.to_lowercase());
        if !text.contains(&runbook.as_str()) {
            miss(format!("has no line `{runbook}`"));
        }
        if !sections.iter().any(|(section, _)| section == name) {
            miss(format!("has no section `### {name}` in {RUNBOOK}"));
        }
        if !firing.contains(name) {
            miss(format!("is in no test under {TESTS} that shows it firing"));
        }
        if !silent.contains(name) {
            miss(format!("is in no test under {TESTS} that shows it not firing"));
        }
    }
    for (section, line) in sections {
        if !alerts.iter().any(|alert| alert.name == section) {
            findings.push(Finding::new(
                RUNBOOK,
                line,
                format!("there is no alert `{section}`"),
            ));
        }
    }
    findings
}

struct Alert<'a> {
    name: &'a str,
    line: usize,
    /// Its lines, without indentation.
    text: Vec<&'a str>,
}

fn alerts(rules: &TextFile) -> Vec<Alert<'_>> {
    let mut alerts: Vec<Alert> = Vec::new();
    for (line, text) in rules.lines() {
        let text = text.trim();
        if let Some(name) = text.strip_prefix("- alert: ") {
            let text = Vec::new();
            alerts.push(Alert { name, line, text });
        } else if let Some(alert) = alerts.last_mut() {
            alert.text.push(text);
        }
    }
    alerts
}

/// The headings under `## Alerts`, with their line numbers.
fn sections(runbook: &TextFile) -> Vec<(&str, usize)> {
    let lines = runbook
        .lines()
        .skip_while(|(_, line)| *line != "## Alerts")
        .skip(1);
    let lines = lines.take_while(|(_, line)| !line.starts_with("## "));
    lines
        .filter_map(|(number, line)| Some((line.strip_prefix("### ")?, number)))
        .collect()
}

/// The alerts that a test shows firing, and those that a test shows not firing.
fn tested(files: &Files) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for test in files.ending(".yml").filter(|file| file.path.starts_with(TESTS)) {
        let mut name = None;
        for line in test.text.lines().map(str::trim) {
            if let Some(alert) = line.strip_prefix("- alertname: ") {
                name = Some(alert);
            } else if line == "exp_alerts: []" {
                silent.extend(name);
            } else if line == "exp_alerts:" {
                firing.extend(name);
            }
        }
    }
    (firing, silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rules: &str, tests: &str, runbook: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let tests = file(&format!("{TESTS}a.yml"), tests);
        let all = vec![file(RULES, rules), tests, file(RUNBOOK, runbook)];
        check(&Files { all })
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    const RULE: &str = "- alert: Down\n  severity: critical\n  summary: a\n  description: b\n  runbook: docs/OPERATIONS.md#down\n";
    const TEST: &str =
        "- alertname: Down\n  exp_alerts: []\n- alertname: Down\n  exp_alerts:\n    - exp_labels\n";

    #[test]
    fn a_complete_alert_has_no_findings() {
        assert_eq!(
            found(RULE, TEST, "## Alerts\n### Down\n## Other\n### Else\n"),
            [""; 0]
        );
    }

    #[test]
    fn each_missing_part_of_an_alert_is_reported() {
        assert_eq!(
            found(
                "- alert: Down\n  severity: critical\n  summary: a\n",
                "",
                "## Alerts\n### Up\n"
            ),
            [
                "`Down` has no description",
                "`Down` has no line `runbook: docs/OPERATIONS.md#down`",
                "`Down` has no section `### Down` in docs/OPERATIONS.md",
                "`Down` is in no test under deploy/prometheus/tests/ that shows it firing",
                "`Down` is in no test under deploy/prometheus/tests/ that shows it not firing",
                "there is no alert `Up`",
            ]
        );
    }
}
