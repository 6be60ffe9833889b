//! The rule on the measured block of each lesson's page: it matches the newest recorded run.
//!
//! Read next: `block.rs`.

mod block;
mod table;

#[cfg(test)]
mod tests;

use anyhow::Result;
use techniques::LESSONS;

use super::files::Files;
use super::generated::Block;
use super::reports::recorded_runs;

/// Missing pages are reported by the rules on lessons.
pub(crate) fn blocks(files: &Files) -> Result<Vec<Block>> {
    let runs = recorded_runs(files)?;
    let pages = LESSONS
        .iter()
        .map(|lesson| (lesson, format!("docs/lessons/{}.md", lesson.name)));
    let blocks = pages
        .filter(|(_, page)| files.find(page).is_some())
        .map(|(lesson, document)| Block {
            document,
            name: "measured".to_owned(),
            text: block::text(lesson.name, &runs),
        });
    Ok(blocks.collect())
}
