//! `cargo xtask tidy`: the rules of this repository that the compiler doesn't check. A finding is `file:line: message`.
//!
//! Read next: any of the modules below; each has the rules on one subject.

mod arms;
mod cycles;
mod dependencies;
mod doc_numbers;
mod docs;
mod files;
mod generated;
mod lessons;
mod recorded_results;
mod reports;
mod settings;
mod sources;
mod sql;
mod vocabulary;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use local_services::workspace_root;

use self::files::Files;
use self::generated::Block;

/// A violation of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Relative to the workspace's root.
    file: String,
    /// From 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            file: file.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Prints all findings. Fails when there are any.
pub(crate) fn check() -> Result<ExitCode> {
    let root = workspace_root()?;
    let files = Files::read(&root)?;
    let mut findings = Vec::new();
    findings.extend(sources::check(&files));
    findings.extend(arms::check(&files));
    findings.extend(cycles::check(&files));
    findings.extend(lessons::check(&files));
    findings.extend(docs::check(&files));
    findings.extend(recorded_results::check(&files));
    findings.extend(sql::check(&files));
    findings.extend(vocabulary::check(&files));
    findings.extend(dependencies::check(&files));
    findings.extend(generated::check(&files, &generated_blocks(&files, &root)?));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let notes = sources::long_files(&files);
    for note in notes.iter().chain(&vocabulary::obsolete_exemptions(&files)) {
        println!("note: {note}");
    }
    if findings.is_empty() {
        println!("tidy: no findings in {} files", files.all.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} findings", findings.len());
    Ok(ExitCode::FAILURE)
}

/// Rewrites generated text, then checks.
pub(crate) fn fix() -> Result<ExitCode> {
    let root = workspace_root()?;
    let files = Files::read(&root)?;
    generated::rewrite(&files, &root, &generated_blocks(&files, &root)?)?;
    check()
}

fn generated_blocks(files: &Files, root: &Path) -> Result<Vec<Block>> {
    let mut blocks = lessons::blocks(files)?;
    blocks.extend(doc_numbers::blocks(files)?);
    blocks.extend(settings::blocks(root)?);
    Ok(blocks)
}
