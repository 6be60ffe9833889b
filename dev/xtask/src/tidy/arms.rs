//! Rules on the arms of lessons, which keep the baselines deletable: one file per arm, with a header, behind the feature
//! `baselines` if it is one, and without imports of other arms.

use techniques::{LESSONS, Lesson, SwitchPoint};

use super::Finding;
use super::files::{Files, TextFile};

/// The directories that contain arms.
const ARM_DIRECTORIES: [&str; 3] = ["api/src/", "platform/src/", "worker/src/"];

/// The fields of an arm's header.
const HEADER: [&str; 4] = ["**Technique**", "**Cost**", "**Fails when**", "**Source**"];

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for lesson in LESSONS
        .iter()
        .filter(|lesson| lesson.switch_point != SwitchPoint::Database)
    {
        match folder(files, lesson) {
            Some(folder) => check_lesson(files, lesson, &folder, &mut findings),
            None => {
                let names: Vec<String> = lesson.arms.iter().map(|arm| format!("{}.rs", arm.name)).collect();
                let message = format!(
                    "lesson `{}`: no directory has a file for each arm: {}",
                    lesson.name,
                    names.join(", ")
                );
                findings.push(Finding::new("techniques/src/table.rs", 1, message));
            }
        }
    }
    findings
}

/// The directory that has a file for each arm of the lesson.
fn folder(files: &Files, lesson: &Lesson) -> Option<String> {
    let first = lesson.arms.first()?.name;
    files
        .ending(".rs")
        .filter(|file| {
            ARM_DIRECTORIES
                .iter()
                .any(|directory| file.path.starts_with(directory))
        })
        .find_map(|file| {
            let (folder, name) = file.path.rsplit_once('/')?;
            let all = lesson
                .arms
                .iter()
                .all(|arm| files.find(&format!("{folder}/{}.rs", arm.name)).is_some());
            (name.strip_suffix(".rs") == Some(first) && all).then(|| folder.to_owned())
        })
}

fn check_lesson(files: &Files, lesson: &Lesson, folder: &str, findings: &mut Vec<Finding>) {
    let parent_path = format!("{folder}/mod.rs");
    let parent = files.find(&parent_path);
    if parent.is_none() {
        findings.push(Finding::new(
            &parent_path,
            1,
            format!("lesson `{}`: its contract belongs here", lesson.name),
        ));
    }
    for arm in lesson.arms {
        let path = format!("{folder}/{}.rs", arm.name);
        let file = files
            .find(&path)
            .expect("the directory was selected for having it");
        check_header(file, findings);
        for sibling in lesson.arms.iter().filter(|sibling| sibling.name != arm.name) {
            check_import(file, folder, sibling.name, findings);
        }
        if let Some(parent) = parent {
            check_declaration(parent, arm.name, arm.name == lesson.optimized, findings);
        }
    }
}

fn check_header(file: &TextFile, findings: &mut Vec<Finding>) {
    let header: String = file
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    let mut rest = header.as_str();
    for field in HEADER {
        match rest.split_once(field) {
            Some((_, after)) => rest = after,
            None => {
                let message = format!(
                    "an arm's header has the fields {}, in this order; {field} is missing",
                    HEADER.join(" · ")
                );
                findings.push(Finding::new(&file.path, 1, message));
                return;
            }
        }
    }
}

fn check_import(file: &TextFile, folder: &str, sibling: &str, findings: &mut Vec<Finding>) {
    let folder = folder.rsplit('/').next().unwrap_or(folder);
    for (number, line) in file.lines() {
        let code = line.split("//").next().unwrap_or_default();
        let by_path = [format!("super::{sibling}"), format!("{folder}::{sibling}")]
            .iter()
            .any(|path| has_path(code, path));
        let in_list = code.trim_start().starts_with("use super::{")
            && code.split(|c: char| !is_word(c)).any(|word| word == sibling);
        if by_path || in_list {
            let message =
                format!("arms never import each other: move what it shares with `{sibling}` into mod.rs");
            findings.push(Finding::new(&file.path, number, message));
        }
    }
}

/// Whether the path occurs as a whole, not as the prefix of a longer name.
fn has_path(code: &str, path: &str) -> bool {
    code.match_indices(path)
        .any(|(at, _)| !code[at + path.len()..].starts_with(is_word))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn check_declaration(parent: &TextFile, arm: &str, is_optimized: bool, findings: &mut Vec<Finding>) {
    let declaration = format!("mod {arm};");
    let lines: Vec<(usize, &str)> = parent.lines().collect();
    let found = lines.iter().position(|(_, line)| {
        let line = line.trim();
        line == declaration || (line.starts_with("pub") && line.ends_with(&format!(" {declaration}")))
    });
    let Some(at) = found else {
        findings.push(Finding::new(
            &parent.path,
            1,
            format!("declares no `{declaration}`"),
        ));
        return;
    };
    let attributes = lines[..at]
        .iter()
        .rev()
        .take_while(|(_, line)| line.trim_start().starts_with(['#', '/']));
    let is_guarded = attributes
        .into_iter()
        .any(|(_, line)| line.trim() == "#[cfg(feature = \"baselines\")]");
    let number = lines[at].0;
    if is_optimized && is_guarded {
        findings.push(Finding::new(
            &parent.path,
            number,
            format!("`{arm}` is optimized and must not be a baseline"),
        ));
    }
    if !is_optimized && !is_guarded {
        let message = format!("`{arm}` is a baseline: put #[cfg(feature = \"baselines\")] before it");
        findings.push(Finding::new(&parent.path, number, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_header_has_four_fields_in_order() {
        let mut findings = Vec::new();
        let good = "//! **Technique**: a\n//! **Cost**: b\n//! **Fails when**: c\n//! **Source**: d\n";
        check_header(&file("a.rs", good), &mut findings);
        assert!(findings.is_empty());
        check_header(
            &file("a.rs", "//! **Technique**: a\n//! **Source**: d\n"),
            &mut findings,
        );
        assert!(findings[0].message.contains("**Cost** is missing"));
    }

    #[test]
    fn an_import_of_a_sibling_is_found_in_each_form() {
        for code in [
            "use super::offset::page;",
            "use super::{Bounds, offset};",
            "crate::pages::offset::page()",
        ] {
            let mut findings = Vec::new();
            check_import(
                &file("pages/cursor.rs", code),
                "api/src/pages",
                "offset",
                &mut findings,
            );
            assert_eq!(findings.len(), 1, "{code}");
        }
        let mut findings = Vec::new();
        let harmless = "use super::offsets; // unlike super::offset\nuse super::{Bounds, offset_of};\n";
        check_import(
            &file("pages/cursor.rs", harmless),
            "api/src/pages",
            "offset",
            &mut findings,
        );
        assert!(findings.is_empty(), "{findings:?}");
    }

    #[test]
    fn only_baselines_are_behind_the_feature() {
        let parent = file(
            "mod.rs",
            "//! x\n#[cfg(feature = \"baselines\")]\npub mod offset;\n\npub(crate) mod cursor;\n",
        );
        let found = |arm: &str, is_optimized: bool| {
            let mut findings = Vec::new();
            check_declaration(&parent, arm, is_optimized, &mut findings);
            findings.len()
        };
        assert_eq!((found("offset", false), found("cursor", true)), (0, 0));
        assert_eq!(
            (
                found("offset", true),
                found("cursor", false),
                found("missing", false)
            ),
            (1, 1, 1)
        );
    }
}
