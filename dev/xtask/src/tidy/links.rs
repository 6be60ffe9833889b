//! The rule on links: the target of a relative link exists.

use std::collections::BTreeSet;

use super::Finding;
use super::files::{Files, TextFile};

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let known = known_paths(files);
    files
        .ending(".md")
        .flat_map(|file| broken_links(file, &known))
        .collect()
}

/// All files and their directories.
fn known_paths(files: &Files) -> BTreeSet<&str> {
    let mut known = BTreeSet::from([""]);
    for file in &files.all {
        let mut path = file.path.as_str();
        while known.insert(path) {
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
    known
}

fn broken_links(file: &TextFile, known: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        for target in targets(line).filter(|_| !in_code) {
            let path = target.split('#').next().unwrap_or_default();
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:") || path.is_empty();
            if !is_elsewhere && resolve(&file.path, path).is_none_or(|path| !known.contains(path.as_str())) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("broken link to `{target}`"),
                ));
            }
        }
    }
    findings
}

/// The targets of `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
}

/// The link's path from the root. None when it leaves the repository.
pub(super) fn resolve(from: &str, link: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_links_are_found_and_others_are_not() {
        let text = "[a](b.md#part) [up](../x/) [out](https://example.com) [here](#part)\n[no](c.md)\n```\n[code](d.md)\n```\n";
        let files = ["docs/a.md", "docs/b.md", "x/y.rs"].map(|path| TextFile {
            path: path.to_owned(),
            text: if path == "docs/a.md" {
                text.to_owned()
            } else {
                String::new()
            },
        });
        let found = check(&Files { all: files.into() });
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["docs/a.md:2: broken link to `c.md`"]
        );
    }
}
