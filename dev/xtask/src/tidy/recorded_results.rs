//! The rule on numbers of recorded runs in prose: each is the text of a link to the record. The link's title is the
//! number's path in the record, and the text equals the recorded value, rounded.
//!
//! ```text
//! [10 962](../loadtests/results/2026-11-21-buying/limits.json "relay / measured") events a second
//! ```
//!
//! A step of the path is a key, the `name` of an item of a list, or the first element of a pair.

use serde_json::Value;

use super::Finding;
use super::files::{Files, TextFile};

const RECORDS: &str = "loadtests/results/";

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in files.ending(".md") {
        for (number, line) in page.lines() {
            for citation in citations(line) {
                if let Some(message) = mismatch(files, page, &citation) {
                    findings.push(Finding::new(&page.path, number, message));
                }
            }
        }
    }
    findings
}

/// A link with a title, which cites a number of a record.
struct Citation<'a> {
    text: &'a str,
    target: &'a str,
    path: &'a str,
}

fn citations(line: &str) -> impl Iterator<Item = Citation<'_>> {
    line.match_indices("](").filter_map(|(middle, _)| {
        let text = line[..middle].rsplit('[').next()?;
        let (target, rest) = line[middle + 2..].split_once(" \"")?;
        let (path, _) = rest.split_once("\")")?;
        let is_link = !target.contains([')', '(']);
        is_link.then_some(Citation { text, target, path })
    })
}

/// The link's path from the repository's root. `None` when it leaves the repository.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn mismatch(files: &Files, page: &TextFile, citation: &Citation<'_>) -> Option<String> {
    let Citation { text, target, path } = citation;
    let file = resolve(&page.path, target)?;
    if !file.starts_with(RECORDS) {
        return None;
    }
    let recorded = files.find(&file).and_then(|record| find(&record.text, path));
    let Some(recorded) = recorded else {
        return Some(format!("`{file}` has no number at `{path}`"));
    };
    let cited = text.replace([' ', '\u{a0}'], "");
    let decimals = cited.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let expected = format!("{recorded:.decimals$}");
    (cited != expected).then(|| format!("`{text}` is {expected} in {file}, at `{path}`"))
}

fn find(record: &str, path: &str) -> Option<f64> {
    let record: Value = serde_json::from_str(record).ok()?;
    path.split(" / ").try_fold(&record, step)?.as_f64()
}

fn step<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.iter().find_map(|item| match item {
            Value::Array(pair) if pair.first()? == name => pair.get(1),
            item => (item["name"] == name).then_some(item),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"[{"name": "relay", "measured": 10962.04, "details": [["p50_ms", 1.416]]}]"#;

    fn found(page: &str) -> Vec<String> {
        let all = [("docs/a.md", page), ("loadtests/results/x/limits.json", RECORD)];
        let all = all.map(|(path, text)| TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        });
        let findings = check(&Files { all: all.into() });
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_recorded_number_may_be_rounded() {
        let page = "[10 962](../loadtests/results/x/limits.json \"relay / measured\") a second, \
                    [1.4](../loadtests/results/x/limits.json \"relay / details / p50_ms\") ms, [other](b.md \"title\")";
        assert_eq!(found(page), [""; 0]);
    }

    #[test]
    fn a_different_or_missing_number_is_reported() {
        let page = "[10 961](../loadtests/results/x/limits.json \"relay / measured\") or \
                    [3](../loadtests/results/x/limits.json \"consumers / measured\")";
        assert_eq!(
            found(page),
            [
                "`10 961` is 10962 in loadtests/results/x/limits.json, at `relay / measured`",
                "`loadtests/results/x/limits.json` has no number at `consumers / measured`",
            ]
        );
    }
}
