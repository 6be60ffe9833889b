//! The manifests of the copy: without the members, features and dependencies that only lessons need.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::Files;
use super::tokens::Source;

/// Crates that the copy lacks.
const DROPPED: [&str; 3] = ["techniques", "dataset", "loadtests"];

/// Adapts the manifests. `before` are the files before anything was removed.
pub(super) fn adapt(before: &Files, files: &mut Files) -> Result<()> {
    let manifests: Vec<String> = files
        .keys()
        .filter(|path| path.ends_with("/Cargo.toml"))
        .cloned()
        .collect();
    let mut needed = BTreeSet::new();
    for path in &manifests {
        let folder = path.trim_end_matches("Cargo.toml");
        let lost = lost_crates(before, files, folder)?;
        let text = text(files, path)?;
        let lines: Vec<&str> = without_features(text.lines())
            .into_iter()
            .filter(|line| !dependency(line).is_some_and(|name| is_dropped(name) || lost.contains(name)))
            .collect();
        needed.extend(
            lines
                .iter()
                .filter_map(|line| dependency(line))
                .map(str::to_owned),
        );
        files.insert(path.clone(), (lines.join("\n") + "\n").into_bytes());
    }
    let root = text(files, "Cargo.toml")?;
    let mut in_dependencies = false;
    let mut written = String::new();
    let mut comments = String::new();
    for line in root.lines() {
        if line.starts_with('[') {
            in_dependencies = line == "[workspace.dependencies]";
        }
        if line.starts_with("members") {
            written.push_str(&members(line));
            continue;
        }
        let name = line.split([' ', '=']).next().unwrap_or_default();
        if in_dependencies && line.starts_with('#') {
            comments.push_str(line);
            comments.push('\n');
            continue;
        }
        let is_unneeded = in_dependencies && line.contains('=') && !needed.contains(name);
        if !is_unneeded {
            written.push_str(&comments);
            written.push_str(line);
            written.push('\n');
        }
        comments.clear();
    }
    files.insert("Cargo.toml".to_owned(), written.into_bytes());
    Ok(())
}

fn is_dropped(name: &str) -> bool {
    DROPPED.contains(&name)
}

fn text(files: &Files, path: &str) -> Result<String> {
    let content = files
        .get(path)
        .with_context(|| format!("the copy lacks {path}"))?;
    String::from_utf8(content.clone()).with_context(|| format!("{path} isn't UTF-8"))
}

/// The dependency that a line of a crate's manifest declares.
fn dependency(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(['.', ' '])?;
    let is_workspace = rest.starts_with("workspace") || rest.contains("workspace = true");
    (is_workspace && !is_inherited(name)).then_some(name)
}

/// Fields of a package that are inherited, not dependencies.
fn is_inherited(name: &str) -> bool {
    ["version", "edition", "rust-version", "license", "publish"].contains(&name)
}

/// Without the feature `baselines`, and its section if it is the only one.
fn without_features<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<&'l str> {
    let mut kept: Vec<&str> = Vec::new();
    for line in lines {
        let is_feature = line.starts_with("default = [\"baselines\"]") || line.starts_with("baselines = [");
        if is_feature {
            continue;
        }
        let section_is_empty = kept.last() == Some(&"[features]") && line.is_empty();
        if section_is_empty {
            kept.pop();
            continue;
        }
        kept.push(line);
    }
    kept
}

fn members(line: &str) -> String {
    let members = line
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|member| {
            !DROPPED
                .iter()
                .any(|dropped| member.rsplit('/').next() == Some(dropped))
        })
        .map(|member| format!("\"{member}\""));
    format!("members = [{}]\n", members.collect::<Vec<_>>().join(", "))
}

/// The crates that a crate's sources named before, and no longer do.
fn lost_crates(before: &Files, files: &Files, folder: &str) -> Result<BTreeSet<String>> {
    let (was, is) = (names(before, folder)?, names(files, folder)?);
    Ok(was.difference(&is).map(|name| name.replace('_', "-")).collect())
}

fn names(files: &Files, folder: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (path, content) in files {
        let is_source = path.starts_with(folder) && path.ends_with(".rs");
        if let Some(text) = std::str::from_utf8(content).ok().filter(|_| is_source) {
            let source = Source::parse(path, text.to_owned())?;
            names.extend(source.tokens.into_iter().map(|token| token.text));
        }
    }
    Ok(names)
}
