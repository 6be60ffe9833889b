//! The rule on numbers from recorded runs in a text: such a number is a link to the record, whose title says where in it
//! the number stands, and is what stands there, rounded.
//!
//! ```text
//! [10 962](../loadtests/results/2026-11-21-buying/limits.json "relay / measured") events a second
//! ```
//!
//! A step of the way is a key, or the `name` of one of a list, or the first of a pair.

use serde_json::Value;

use super::Finding;
use super::files::{Files, TextFile};
use super::links::resolve;

const RECORDS: &str = "loadtests/results/";

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in files.ending(".md") {
        for (number, line) in page.lines() {
            for citation in citations(line) {
                if let Some(fault) = fault(files, page, &citation) {
                    findings.push(Finding::new(&page.path, number, fault));
                }
            }
        }
    }
    findings
}

/// A link that has a title.
struct Citation<'a> {
    text: &'a str,
    target: &'a str,
    way: &'a str,
}

fn citations(line: &str) -> impl Iterator<Item = Citation<'_>> {
    line.match_indices("](").filter_map(|(middle, _)| {
        let text = line[..middle].rsplit('[').next()?;
        let (target, rest) = line[middle + 2..].split_once(" \"")?;
        let (way, _) = rest.split_once("\")")?;
        let is_link = !target.contains([')', '(']);
        is_link.then_some(Citation { text, target, way })
    })
}

fn fault(files: &Files, page: &TextFile, citation: &Citation<'_>) -> Option<String> {
    let Citation { text, target, way } = citation;
    let path = resolve(&page.path, target)?;
    if !path.starts_with(RECORDS) {
        return None;
    }
    let recorded = files.find(&path).and_then(|file| find(&file.text, way));
    let Some(recorded) = recorded else {
        return Some(format!("`{path}` has no number at `{way}`"));
    };
    let said = text.replace([' ', '\u{a0}'], "");
    let decimals = said.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let expected = format!("{recorded:.decimals$}");
    (said != expected).then(|| format!("`{text}` is {expected} in {path}, at `{way}`"))
}

fn find(record: &str, way: &str) -> Option<f64> {
    let record: Value = serde_json::from_str(record).ok()?;
    way.split(" / ").try_fold(&record, step)?.as_f64()
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
    fn a_number_that_is_in_the_record_may_be_said_rounded() {
        let page = "[10 962](../loadtests/results/x/limits.json \"relay / measured\") a second, \
                    [1.4](../loadtests/results/x/limits.json \"relay / details / p50_ms\") ms, [other](b.md \"title\")";
        assert_eq!(found(page), [""; 0]);
    }

    #[test]
    fn another_number_and_one_that_is_not_there_are_named() {
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
