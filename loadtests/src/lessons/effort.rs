//! What an arm costs to write: the lines of its file, without blank lines, comments and tests.

use std::collections::BTreeMap;
use std::path::Path;

use crate::report::Effort;

/// Counts each arm's file. A file that is not there, as outside of the repository, is not counted.
pub fn count(files: &[(&str, &str)], baseline: &str, optimized: &str) -> Effort {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let lines = |arm: &str| {
        let (_, path) = files.iter().find(|(of, _)| *of == arm)?;
        std::fs::read_to_string(root.join(path))
            .ok()
            .map(|text| code_lines(&text))
    };
    let counted = files
        .iter()
        .filter_map(|(arm, path)| Some(((*path).to_owned(), lines(arm)?)));
    Effort {
        lines_baseline: lines(baseline),
        lines_optimized: lines(optimized),
        files: counted.collect::<BTreeMap<_, _>>(),
    }
}

fn code_lines(text: &str) -> u64 {
    text.lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("--"))
        .count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_tests_do_not_count() {
        let text =
            "//! What it does.\n\nfn one() {\n    // why\n    two()\n}\n\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(code_lines(text), 3);
        assert_eq!(code_lines("-- why\ncreate index on a (b);\n"), 1);
    }

    #[test]
    fn every_arm_has_a_file_that_exists() {
        for plan in crate::lessons::plans() {
            for arm in &plan.arms {
                let effort = count(plan.files, arm, arm);
                assert!(
                    effort.lines_baseline.is_some(),
                    "{}={arm} has no file",
                    plan.lesson.name
                );
            }
        }
    }
}
