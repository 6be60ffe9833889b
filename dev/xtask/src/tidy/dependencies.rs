//! Rules on dependencies: none unused, no unrecorded duplicates, and no arrows against the order of the crates: nothing
//! depends on the lab, the api and the worker don't depend on each other, and `platform` knows no shop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Finding;
use super::files::{Files, TextFile};

/// Each crate's folder with the crates of this workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("platform", &[]),
    ("techniques", &[]),
    ("shop", &["platform"]),
    ("api", &["platform", "shop", "techniques", "local-services"]),
    ("worker", &["platform", "shop", "techniques", "local-services"]),
    ("loadtests", &["dataset", "local-services", "shop", "techniques"]),
    ("dev/dataset", &[]),
    ("dev/local-services", &[]),
    ("dev/simulators", &[]),
    ("dev/xtask", &["local-services", "techniques"]),
];

/// Accepted duplicates, each with its reason.
const ACCEPTED: &str = "dev/xtask/duplicates.txt";

pub(crate) fn check(files: &Files, root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut named = BTreeSet::new();
    for (directory, allowed) in ALLOWED {
        let Some(manifest) = files.find(&format!("{directory}/Cargo.toml")) else {
            continue;
        };
        for dependency in dependencies(manifest) {
            named.insert(dependency.name.clone());
            check_usage(files, manifest, directory, &dependency, &mut findings);
            check_order(manifest, directory, allowed, &dependency, &mut findings);
        }
    }
    let unlisted = files.ending("/Cargo.toml").filter(|manifest| {
        let directory = manifest.path.trim_end_matches("/Cargo.toml");
        !ALLOWED.iter().any(|(listed, _)| *listed == directory)
    });
    findings.extend(unlisted.map(|manifest| {
        let message = "say in `ALLOWED` what this crate may depend on".to_owned();
        Finding::new(&manifest.path, 1, message)
    }));
    if let Some(workspace) = files.find("Cargo.toml") {
        for dependency in dependencies(workspace)
            .into_iter()
            .filter(|dependency| !named.contains(&dependency.name))
        {
            let message = format!("no crate uses `{}`", dependency.name);
            findings.push(Finding::new("Cargo.toml", dependency.line, message));
        }
    }
    findings.extend(check_duplicates(files, root)?);
    Ok(findings)
}

/// A line of a `[…dependencies]` section.
struct Dependency {
    name: String,
    line: usize,
    is_dev: bool,
}

fn dependencies(manifest: &TextFile) -> Vec<Dependency> {
    let mut section = "";
    let mut found = Vec::new();
    for (line, text) in manifest.lines() {
        let text = text.trim();
        if text.starts_with('[') {
            section = text;
        } else if section.ends_with("dependencies]") && !text.starts_with('#') {
            let name = text
                .split(['.', '=', ' '])
                .next()
                .unwrap_or_default()
                .trim_matches('"');
            if !name.is_empty() {
                let is_dev = section == "[dev-dependencies]";
                found.push(Dependency {
                    name: name.to_owned(),
                    line,
                    is_dev,
                });
            }
        }
    }
    found
}

/// A dependency is used when a path in the sources begins with its crate's name.
fn check_usage(
    files: &Files,
    manifest: &TextFile,
    directory: &str,
    dependency: &Dependency,
    findings: &mut Vec<Finding>,
) {
    let name = dependency.name.replace('-', "_");
    let directories: &[&str] = if dependency.is_dev {
        &["src/", "tests/", "benches/"]
    } else {
        &["src/", "build.rs"]
    };
    let is_used = files.ending(".rs").any(|file| {
        let inside = file
            .path
            .strip_prefix(directory)
            .and_then(|path| path.strip_prefix('/'));
        inside.is_some_and(|path| directories.iter().any(|place| path.starts_with(place)))
            && names_crate(&file.text, &name)
    });
    if !is_used {
        let message = format!("`{}` is not used in this crate", dependency.name);
        findings.push(Finding::new(&manifest.path, dependency.line, message));
    }
}

fn names_crate(text: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let is_path = after.starts_with("::") && !before.ends_with(is_word) && !before.ends_with("::");
        is_path || (before.ends_with("use ") && after.starts_with([';', ' ']))
    })
}

fn check_order(
    manifest: &TextFile,
    directory: &str,
    allowed: &[&str],
    dependency: &Dependency,
    findings: &mut Vec<Finding>,
) {
    let name = dependency.name.as_str();
    let is_ours = ALLOWED
        .iter()
        .any(|(directory, _)| directory.rsplit('/').next() == Some(name));
    if is_ours && !allowed.contains(&name) {
        let message = format!("`{directory}` must not depend on `{name}`");
        findings.push(Finding::new(&manifest.path, dependency.line, message));
    }
}

fn check_duplicates(files: &Files, root: &Path) -> Result<Vec<Finding>> {
    let recorded = files
        .find(ACCEPTED)
        .map(|file| file.lines().collect::<Vec<_>>())
        .unwrap_or_default();
    let recorded: BTreeMap<&str, usize> = recorded
        .iter()
        .filter(|(_, text)| !text.starts_with('#'))
        .filter_map(|(line, text)| Some((text.split_once(':')?.0, *line)))
        .collect();
    let found = duplicates(root)?;
    let unrecorded = found
        .iter()
        .filter(|(name, _)| !recorded.contains_key(name.as_str()))
        .map(|(name, versions)| {
            let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
            let message = format!(
                "`{name}` is built in several versions ({}): unify them, or record the reason",
                versions.join(", ")
            );
            Finding::new(ACCEPTED, 1, message)
        });
    let outdated = recorded.iter().filter(|(name, _)| !found.contains_key(**name));
    let outdated = outdated
        .map(|(name, line)| Finding::new(ACCEPTED, *line, format!("`{name}` is no longer a duplicate")));
    Ok(unrecorded.chain(outdated).collect())
}

/// Crates that are built in more than one version.
fn duplicates(root: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--duplicates",
            "--depth=0",
            "--prefix=none",
        ])
        .current_dir(root)
        .output()
        .context("cannot run cargo tree")?;
    if !output.status.success() {
        bail!(
            "cargo tree failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions
                .entry(name.to_owned())
                .or_default()
                .insert(version.to_owned());
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_named_as_the_first_part_of_a_path_only() {
        assert!(names_crate("use anyhow::Result;", "anyhow"));
        assert!(names_crate("fn f() -> anyhow::Result<()>", "anyhow"));
        assert!(names_crate("use api as product;", "api"));
        assert!(!names_crate("use crate::anyhow::x; // anyhow is fine", "anyhow"));
        assert!(!names_crate("not_anyhow::x()", "anyhow"));
    }

    #[test]
    fn unused_and_forbidden_dependencies_are_found() {
        let manifest = "[package]\nname = \"api\"\n\n[dependencies]\nused.workspace = true\nidle = \"1\" # why\nworker.workspace = true\n\n[dev-dependencies]\nprobe.workspace = true\n";
        let file = |path: &str, text: &str| TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let files = Files {
            all: vec![
                file("api/Cargo.toml", manifest),
                file("api/src/lib.rs", "use used::It;\nuse worker::Work;\n"),
                file("api/tests/a.rs", "probe::it();\nidle::it();\n"),
            ],
        };
        let mut findings = Vec::new();
        let manifest = files.find("api/Cargo.toml").unwrap();
        for dependency in dependencies(manifest) {
            check_usage(&files, manifest, "api", &dependency, &mut findings);
            check_order(manifest, "api", &["shop"], &dependency, &mut findings);
        }
        let found: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("api/Cargo.toml:6: `idle` is not used"));
        assert!(found[1].starts_with("api/Cargo.toml:7: `api` must not depend on `worker`"));
    }
}
