//! Rules on dependencies: no arrows against the order of the crates, and none in the workspace's manifest that no crate
//! uses. Nothing depends on the lab, the api and the worker don't depend on each other, and `platform` knows no shop.
//!
//! cargo-machete finds what a crate declares and doesn't use, cargo-deny what is built in several versions: `.ci/run`.

use std::collections::BTreeSet;

use super::Finding;
use super::files::{Files, TextFile};

/// Each crate's folder with the crates of this workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("platform", &[]),
    ("techniques", &[]),
    ("shop", &["platform"]),
    (
        "api",
        &[
            "platform",
            "shop",
            "techniques",
            "child-process",
            "local-services",
            "tcp-proxy",
        ],
    ),
    (
        "worker",
        &[
            "platform",
            "shop",
            "techniques",
            "child-process",
            "local-services",
            "tcp-proxy",
        ],
    ),
    (
        "loadtests",
        &[
            "child-process",
            "dataset",
            "local-services",
            "shop",
            "tcp-proxy",
            "techniques",
        ],
    ),
    ("dev/child-process", &[]),
    ("dev/dataset", &[]),
    ("dev/local-services", &[]),
    ("dev/simulators", &["child-process"]),
    ("dev/tcp-proxy", &[]),
    ("dev/xtask", &["child-process", "local-services", "techniques"]),
];

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut named = BTreeSet::new();
    for (directory, allowed) in ALLOWED {
        let Some(manifest) = files.find(&format!("{directory}/Cargo.toml")) else {
            continue;
        };
        for dependency in dependencies(manifest) {
            named.insert(dependency.name.clone());
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
    findings
}

/// A line of a `[…dependencies]` section.
struct Dependency {
    name: String,
    line: usize,
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
                let name = name.to_owned();
                found.push(Dependency { name, line });
            }
        }
    }
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_dependencies_and_those_that_no_crate_uses_are_found() {
        let file = |path: &str, text: &str| TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let files = Files {
            all: vec![
                file(
                    "Cargo.toml",
                    "[workspace.dependencies]\nused = \"1\" # why\nidle = \"1\"\n",
                ),
                file(
                    "api/Cargo.toml",
                    "[dependencies]\nused.workspace = true\nworker.workspace = true\n",
                ),
                file("new/Cargo.toml", "[dependencies]\n"),
            ],
        };
        let found: Vec<String> = check(&files).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "api/Cargo.toml:3: `api` must not depend on `worker`",
                "new/Cargo.toml:1: say in `ALLOWED` what this crate may depend on",
                "Cargo.toml:3: no crate uses `idle`",
            ]
        );
    }
}
