//! Rules on CI: each step calls a script or target of this repository, so that it also runs locally, and third-party
//! actions are pinned by commit.

use super::Finding;
use super::files::{Files, TextFile};

const WORKFLOWS: &str = ".github/";
const CI: &str = ".ci/run";
const IMAGES: &str = ".ci/images";
const DOCKERFILE: &str = "Dockerfile";

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let workflows = files
        .ending(".yml")
        .filter(|file| file.path.starts_with(WORKFLOWS));
    for workflow in workflows {
        for (number, line) in workflow.lines() {
            let line = line.trim().trim_start_matches("- ");
            let faults = if let Some(action) = line.strip_prefix("uses: ") {
                unpinned(action, files)
            } else if let Some(command) = line.strip_prefix("run: ") {
                missing(command, files)
            } else {
                Vec::new()
            };
            findings.extend(
                faults
                    .into_iter()
                    .map(|fault| Finding::new(&workflow.path, number, fault)),
            );
        }
    }
    findings.extend(images_without_target(files));
    findings
}

/// An action is `owner/name@<commit> # v1.2.3`, or a local path.
fn unpinned(action: &str, files: &Files) -> Vec<String> {
    if let Some(path) = action.strip_prefix("./") {
        let is_there = [path.to_owned(), format!("{path}/action.yml")]
            .iter()
            .any(|path| files.find(path).is_some());
        return match is_there {
            true => Vec::new(),
            false => vec![format!("there is no `{path}`")],
        };
    }
    let (pin, version) = action
        .split_once('@')
        .and_then(|(_, rest)| rest.split_once(" # v"))
        .unwrap_or_default();
    let is_commit = pin.len() == 40 && pin.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit && !version.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "`{action}` is not pinned: name its commit, and its version in a comment (@<commit> # v1.2.3)"
    )]
}

/// The scripts, make targets and steps of `.ci/run` in a command that don't exist.
fn missing(command: &str, files: &Files) -> Vec<String> {
    let words = words(command);
    let mut faults = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let is_script = word.starts_with(".ci/") || word.starts_with("deploy/");
        if is_script && files.find(word).is_none() {
            faults.push(format!("there is no `{word}`"));
        }
        let after = &words[index + 1..];
        if word == "make" {
            let is_target = |target: &&String| has_line(files, "Makefile", &format!("{target}:"));
            faults.extend(
                after
                    .iter()
                    .take(1)
                    .filter(|target| !is_target(target))
                    .map(|target| format!("the Makefile has no target `{target}`")),
            );
        }
        if word == CI {
            let is_step = |name: &&String| {
                has_line(files, CI, &format!("step '{name}' "))
                    || has_line(files, CI, &format!("step {name} "))
            };
            faults.extend(
                after
                    .iter()
                    .filter(|name| !is_step(name))
                    .map(|name| format!("{CI} has no step `{name}`")),
            );
        }
    }
    faults
}

/// Splits a command at spaces outside of quotes, like a shell.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in command.chars() {
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (end, Some(begin)) if end == begin => quote = None,
            (' ', None) => words.push(std::mem::take(&mut word)),
            (other, _) => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn has_line(files: &Files, path: &str, beginning: &str) -> bool {
    let lines = |file: &TextFile| file.text.lines().any(|line| line.starts_with(beginning));
    files.find(path).is_some_and(lines)
}

/// The published images are stages of the Dockerfile.
fn images_without_target(files: &Files) -> Vec<Finding> {
    let Some(script) = files.find(IMAGES) else {
        return Vec::new();
    };
    let Some((number, targets)) = script
        .lines()
        .find_map(|(number, line)| Some((number, line.strip_prefix("targets=(")?.strip_suffix(')')?)))
    else {
        return vec![Finding::new(IMAGES, 1, "has no line `targets=(…)`")];
    };
    let stages = files.find(DOCKERFILE).map_or("", |file| file.text.as_str());
    let is_stage = |target: &&str| {
        stages
            .lines()
            .any(|line| line.starts_with("FROM ") && line.ends_with(&format!(" AS {target}")))
    };
    targets
        .split(' ')
        .filter(|target| !is_stage(target))
        .map(|target| {
            Finding::new(
                IMAGES,
                number,
                format!("the {DOCKERFILE} has no stage `{target}`"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(workflow: &str) -> Vec<String> {
        let all = [
            (".github/workflows/ci.yml", workflow),
            (".github/actions/rust/action.yml", "name: Rust\n"),
            ("Makefile", "test: install ## Tests\n"),
            (CI, "step 'make test' make test\nstep deny deny\n"),
            (IMAGES, "targets=(api lab)\n"),
            (DOCKERFILE, "FROM rust AS build\nFROM debian AS api\n"),
            ("deploy/smoke", ""),
        ];
        let all = all.map(|(path, text)| TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        });
        let findings = check(&Files { all: all.into() });
        findings.iter().map(ToString::to_string).collect()
    }

    const LAB: &str = ".ci/images:1: the Dockerfile has no stage `lab`";

    #[test]
    fn existing_targets_have_no_findings() {
        let workflow = "\
steps:
  - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
  - uses: ./.github/actions/rust
  - run: make test
  - run: .ci/run 'make test' deny
  - run: deploy/smoke
";
        assert_eq!(found(workflow), [LAB]);
    }

    #[test]
    fn missing_targets_are_reported() {
        let workflow = "\
- uses: actions/checkout@v7
- uses: ./.github/actions/go
- run: make tests
- run: .ci/run 'make test' lint
- run: deploy/smok
";
        let at = |line: usize, fault: &str| format!(".github/workflows/ci.yml:{line}: {fault}");
        assert_eq!(
            found(workflow),
            [
                at(
                    1,
                    "`actions/checkout@v7` is not pinned: name its commit, and its version in a comment (@<commit> # v1.2.3)"
                ),
                at(2, "there is no `.github/actions/go`"),
                at(3, "the Makefile has no target `tests`"),
                at(4, ".ci/run has no step `lint`"),
                at(5, "there is no `deploy/smok`"),
                LAB.to_owned(),
            ]
        );
    }
}
