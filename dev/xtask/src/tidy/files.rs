//! Reads the repository's files, once for all rules.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Directories without sources.
const SKIPPED: [&str; 3] = ["target", ".git", ".backstock"];

/// All files, sorted by path.
pub(crate) struct Files {
    pub(crate) all: Vec<TextFile>,
}

/// A file's path from the root, and its text. A binary file has an empty text.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Files {
    pub(crate) fn read(root: &Path) -> Result<Files> {
        let mut all = Vec::new();
        read_directory(root, "", &mut all)?;
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Files { all })
    }

    pub(crate) fn find(&self, path: &str) -> Option<&TextFile> {
        self.all.iter().find(|file| file.path == path)
    }

    pub(crate) fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = &'a TextFile> {
        self.all.iter().filter(move |file| file.path.ends_with(suffix))
    }
}

impl TextFile {
    /// Lines with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

fn read_directory(root: &Path, relative: &str, all: &mut Vec<TextFile>) -> Result<()> {
    let directory = root.join(relative);
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if relative.is_empty() {
            name.clone()
        } else {
            format!("{relative}/{name}")
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                read_directory(root, &path, all)?;
            }
        } else if kind.is_file() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            all.push(TextFile { path, text });
        }
    }
    Ok(())
}
