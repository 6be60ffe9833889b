//! What rules, their tests and dashboards ask for, read from their files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// An expression, and where it stands.
pub struct Query {
    pub place: String,
    pub expression: String,
    /// Of a test of the rules, whose series have labels with made-up values.
    pub is_made_up: bool,
}

pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// All files of a folder with this ending.
pub fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let directory = deploy().join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no .{ending} in {}", directory.display());
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        (
            format!("deploy/{folder}/{name}"),
            fs::read_to_string(&path).unwrap(),
        )
    };
    paths.into_iter().map(read).collect()
}

/// Everything that is asked anywhere.
pub fn all() -> Vec<Query> {
    let mut queries = Vec::new();
    for (path, text) in files("prometheus/rules", "yml") {
        let found = values(&text, "expr");
        let rules = values(&text, "record").len() + values(&text, "alert").len();
        assert_eq!(found.len(), rules, "{path}: a rule's expression was not found");
        queries.extend(query(&path, found, false));
    }
    for (path, text) in files("prometheus/tests", "yml") {
        queries.extend(query(&path, values(&text, "expr"), true));
        queries.extend(query(&path, values(&text, "series"), true));
    }
    for (path, dashboard) in dashboards() {
        let mut expressions = Vec::new();
        collect(&dashboard, &mut expressions);
        queries.extend(query(&path, expressions, false));
    }
    queries
}

/// The names of the recording rules.
pub fn recorded() -> Vec<String> {
    let rules = files("prometheus/rules", "yml");
    rules
        .iter()
        .flat_map(|(_, text)| values(text, "record"))
        .collect()
}

pub fn dashboards() -> Vec<(String, Value)> {
    let parse = |(path, text): (String, String)| {
        let dashboard = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, dashboard)
    };
    files("grafana/dashboards", "json")
        .into_iter()
        .map(parse)
        .collect()
}

fn query(path: &str, expressions: Vec<String>, is_made_up: bool) -> impl Iterator<Item = Query> {
    expressions.into_iter().map(move |expression| Query {
        place: path.to_owned(),
        expression,
        is_made_up,
    })
}

/// The values of a key in YAML: plain, or a block after `|`. `promtool` reads these files as a whole.
pub fn values(text: &str, key: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let entry = line.trim_start().trim_start_matches("- ");
        let Some(value) = entry.strip_prefix(key).and_then(|rest| rest.strip_prefix(':')) else {
            continue;
        };
        if value.trim() != "|" {
            values.push(value.trim().to_owned());
            continue;
        }
        let depth = line.len() - entry.len();
        let is_inside = |line: &&str| line.trim().is_empty() || line.len() - line.trim_start().len() > depth;
        let mut block = Vec::new();
        while let Some(line) = lines.next_if(is_inside) {
            block.push(line);
        }
        values.push(block.join("\n"));
    }
    values
}

/// `expr` at any depth, and the metrics that variables are read from.
fn collect(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("expr", Value::String(expression)) => found.push(expression.clone()),
                    ("definition", Value::String(variable)) => {
                        let inside = variable
                            .strip_prefix("label_values(")
                            .unwrap()
                            .trim_end_matches(')');
                        let (metric, label) = inside.split_once(", ").unwrap();
                        found.push(format!("count by ({label}) ({metric})"));
                    }
                    _ => collect(value, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
