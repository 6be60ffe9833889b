//! What no rule covers: exact passages of our files, and what the copy has instead. A passage that is missing is an error, so
//! that no change of ours is forgotten here.

use anyhow::{Context, Result, ensure};

use super::Files;

/// The passages, in a file that reads like a diff: see its head.
const PASSAGES: &str = include_str!("rewrites.txt");

/// Applies all of them.
pub(super) fn apply(files: &mut Files) -> Result<()> {
    for (number, (path, from, to)) in passages()?.into_iter().enumerate() {
        let content = files
            .get_mut(path)
            .with_context(|| format!("rewrites.txt: there is no {path} to rewrite"))?;
        let text = String::from_utf8(content.clone()).with_context(|| format!("{path} isn't UTF-8"))?;
        ensure!(
            text.matches(&from).count() == 1,
            "rewrites.txt, passage {}: {path} has it {} times, not once:\n{from}",
            number + 1,
            text.matches(&from).count()
        );
        *content = text.replace(&from, &to).into_bytes();
    }
    Ok(())
}

/// Path, passage and replacement of each.
fn passages() -> Result<Vec<(&'static str, String, String)>> {
    let mut passages: Vec<(&str, String, String)> = Vec::new();
    let mut path = "";
    let mut is_begun = false;
    for line in PASSAGES.lines().filter(|line| !line.starts_with('#')) {
        if let Some(next) = line.strip_prefix("=== ") {
            path = next;
            is_begun = false;
        } else if line == "---" {
            is_begun = false;
        } else {
            if !is_begun {
                passages.push((path, String::new(), String::new()));
                is_begun = true;
            }
            let (_, from, to) = passages.last_mut().context("one was begun")?;
            let (kind, text) = line.split_at(line.len().min(1));
            if kind == "-" || kind == " " || kind.is_empty() {
                from.push_str(text);
                from.push('\n');
            }
            if kind == "+" || kind == " " || kind.is_empty() {
                to.push_str(text);
                to.push('\n');
            }
        }
    }
    Ok(passages)
}
