//! The rule on indexes: each has a comment that names the query it serves.

use super::Finding;
use super::files::{Files, TextFile};

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let index_sets = files
        .ending(".sql")
        .filter(|file| file.path.starts_with("migrations/"));
    index_sets.flat_map(uncommented_indexes).collect()
}

/// A comment applies to all indexes up to the next blank line.
fn uncommented_indexes(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_commented = false;
    for (number, line) in file.lines() {
        let line = line.trim_start();
        if line.is_empty() {
            is_commented = false;
        } else if line.starts_with("--") {
            is_commented = true;
        } else if (line.starts_with("create index") || line.starts_with("create unique index"))
            && !is_commented
        {
            findings.push(Finding::new(
                &file.path,
                number,
                "say in a comment above which query this index serves",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_applies_up_to_a_blank_line() {
        let text =
            "-- For lists.\ncreate index a on t (a);\ncreate index b on t (b);\n\ncreate index c on t (c);\n";
        let findings = uncommented_indexes(&TextFile {
            path: "x.sql".to_owned(),
            text: text.to_owned(),
        });
        assert_eq!(
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [5]
        );
    }
}
