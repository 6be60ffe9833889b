//! Rules on source files: they have a module comment, stay short, and have no absolute paths.

use super::Finding;
use super::files::{Files, TextFile};

/// A longer file is listed in a note.
const LONG_LINES: usize = 400;

/// A longer file must be split.
const TOO_LONG_LINES: usize = 500;

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.ending(".rs") {
        check_source(file, &mut findings);
    }
    for file in &files.all {
        check_absolute_paths(file, &mut findings);
    }
    findings
}

/// Notes on long files.
pub(crate) fn long_files(files: &Files) -> Vec<String> {
    let long = files.ending(".rs").map(|file| (file, file.text.lines().count()));
    let long = long.filter(|(_, lines)| (LONG_LINES + 1..=TOO_LONG_LINES).contains(lines));
    long.map(|(file, lines)| format!("{} has {lines} lines; can it be split?", file.path))
        .collect()
}

fn check_source(file: &TextFile, findings: &mut Vec<Finding>) {
    let mut find = |line: usize, message: String| findings.push(Finding::new(&file.path, line, message));
    if !file.text.starts_with("//!") {
        find(
            1,
            "begin with `//!`: what the file does, where it sits, what to read next".to_owned(),
        );
    }
    let lines = file.text.lines().count();
    if lines > TOO_LONG_LINES {
        find(
            lines,
            format!("{lines} lines, of at most {TOO_LONG_LINES}: split it by subject"),
        );
    }
    let is_test = file.path.split('/').any(|part| part == "tests");
    let mut previous_is_comment = false;
    for (number, line) in file.lines() {
        let code = line.split("//").next().unwrap_or_default();
        let is_explained = previous_is_comment || line.contains("//");
        if is_test && code.contains(concat!("sl", "eep(")) && !is_explained {
            let message =
                "a sleep in a test hides races: wait for the event, or explain the sleep in a comment";
            find(number, message.to_owned());
        }
        previous_is_comment = line.trim_start().starts_with("// ");
    }
}

/// Absolute paths of a developer's machine.
fn check_absolute_paths(file: &TextFile, findings: &mut Vec<Finding>) {
    let homes = [
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/ro", "ot/"),
    ];
    // The home of the containers' user.
    let home_in_images = concat!("/ho", "me/nonroot");
    for (number, line) in file.lines() {
        for home in homes {
            let starts_a_path = line.match_indices(home).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !line[at..].starts_with(home_in_images)
                    && !before.is_some_and(|c| c.is_alphanumeric() || "._-/}*$)".contains(c))
            });
            if starts_a_path {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("`{home}…` exists on one machine only"),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&Files { all: vec![file] })
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_file_begins_with_a_module_comment() {
        assert_eq!(
            findings("a.rs", "//! What it is.\nfn main() {}\n"),
            Vec::<String>::new()
        );
        assert!(findings("a.rs", "fn main() {}\n")[0].starts_with("a.rs:1: begin with"));
    }

    #[test]
    fn an_unexplained_sleep_is_found_in_tests_only() {
        let text = format!("//! x\nfn f() {{ {}1) }}\n", concat!("sl", "eep("));
        assert_eq!(findings("api/tests/a.rs", &text).len(), 1);
        assert_eq!(findings("api/src/a.rs", &text).len(), 0);
        let explained = text.replace(") }", ") } // Between two looks.");
        assert_eq!(findings("api/tests/a.rs", &explained).len(), 0);
    }

    #[test]
    fn a_path_of_one_machine_is_found_and_a_relative_one_is_not() {
        let path = concat!("/ho", "me/someone/x");
        assert_eq!(findings("a.md", &format!("see {path}\n")).len(), 1);
        assert_eq!(findings("a.md", &format!("see ..{path}\n")).len(), 0);
    }

    #[test]
    fn a_file_of_over_500_lines_must_be_split() {
        let text = format!("//! x\n{}", "\n".repeat(TOO_LONG_LINES));
        assert!(findings("a.rs", &text)[0].contains("501 lines"));
    }
}
