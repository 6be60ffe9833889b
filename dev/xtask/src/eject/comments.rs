//! Removes the sentences about lessons from comments.

use std::fmt::Write as _;

use super::tokens::Source;

/// The maximum width of a line.
const WIDTH: usize = 120;

/// A sentence with one of these words is about lessons.
const WORDS: [&str; 10] = [
    "arm",
    "arms",
    "baseline",
    "baselines",
    "lesson",
    "lessons",
    "lab",
    "loadtests",
    "techniques",
    "experiment",
];

/// Names that only lessons have. A sentence with one of them is about lessons.
pub(super) struct Vocabulary {
    /// The switch's route and variable, `lesson=arm` of every arm, and the file names of baselines, such as
    /// `row_lock.rs`.
    pub(super) names: Vec<String>,
}

impl Vocabulary {
    /// Collects the names from the table of lessons.
    pub(super) fn of_lessons() -> Self {
        let mut names = vec!["/internal/variants".to_owned(), "BACKSTOCK_VARIANTS".to_owned()];
        for lesson in techniques::LESSONS {
            for arm in lesson.arms {
                names.push(format!("{}={}", lesson.name, arm.name));
                if arm.name != lesson.optimized {
                    names.push(format!("`{}.rs`", arm.name));
                }
            }
        }
        Self { names }
    }

    fn is_about_lessons(&self, sentence: &str) -> bool {
        let words = sentence.split(|c: char| !c.is_alphanumeric() && c != '_');
        words
            .into_iter()
            .any(|word| WORDS.contains(&word.to_lowercase().as_str()))
            || self.names.iter().any(|name| sentence.contains(name.as_str()))
    }
}

/// A run of comment lines with the same indentation and marker.
struct Block<'t> {
    indentation: &'t str,
    marker: &'t str,
    lines: Vec<&'t str>,
}

/// Rewrites the comments of a Rust source.
pub(super) fn rewrite(source: &Source, vocabulary: &Vocabulary) -> String {
    let inside_literal = |at: usize| {
        let next = source.tokens.partition_point(|token| token.range.end <= at);
        let token = source.tokens.get(next);
        token.is_some_and(|token| token.range.start < at && token.text.starts_with(['"', 'r', 'b']))
    };
    let mut written = String::with_capacity(source.text.len());
    let mut block: Option<Block<'_>> = None;
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let trimmed = line.trim_start();
        let indentation = &line[..line.len() - trimmed.len()];
        let marker = ["//!", "///", "//"]
            .into_iter()
            .find(|marker| trimmed.starts_with(marker));
        let marker = marker.filter(|_| !inside_literal(start));
        let continues = block
            .as_ref()
            .zip(marker)
            .is_some_and(|(block, marker)| block.marker == marker && block.indentation == indentation);
        if !continues && let Some(done) = block.take() {
            write_block(&done, vocabulary, &mut written);
        }
        match marker {
            None => written.push_str(line),
            Some(marker) => {
                let text = trimmed[marker.len()..].trim_end();
                let block = block.get_or_insert(Block {
                    indentation,
                    marker,
                    lines: Vec::new(),
                });
                block.lines.push(text.strip_prefix(' ').unwrap_or(text));
            }
        }
    }
    if let Some(done) = block {
        write_block(&done, vocabulary, &mut written);
    }
    written
}

/// Rewrites the comments of SQL.
pub(super) fn rewrite_sql(text: &str, vocabulary: &Vocabulary) -> String {
    let mut written = String::with_capacity(text.len());
    let mut block: Option<Block<'_>> = None;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let indentation = &line[..line.len() - trimmed.len()];
        let comment = trimmed.strip_prefix("--").map(str::trim);
        if let Some(done) = block.take_if(|block| comment.is_none() || block.indentation != indentation) {
            write_block(&done, vocabulary, &mut written);
        }
        match comment {
            None => written.push_str(line),
            Some(comment) => {
                let block = block.get_or_insert(Block {
                    indentation,
                    marker: "--",
                    lines: Vec::new(),
                });
                block.lines.push(comment);
            }
        }
    }
    if let Some(done) = block {
        write_block(&done, vocabulary, &mut written);
    }
    written
}

fn write_block(block: &Block<'_>, vocabulary: &Vocabulary, written: &mut String) {
    let width = WIDTH - block.indentation.len() - block.marker.len() - 1;
    let mut is_first = true;
    for paragraph in block.lines.split(|line| line.is_empty()) {
        let lines = rewrite_paragraph(paragraph, vocabulary, width);
        if lines.is_empty() {
            continue;
        }
        if !is_first {
            write_line(block, "", written);
        }
        is_first = false;
        for line in &lines {
            write_line(block, line, written);
        }
    }
}

fn write_line(block: &Block<'_>, line: &str, written: &mut String) {
    let space = if line.is_empty() { "" } else { " " };
    writeln!(written, "{}{}{space}{line}", block.indentation, block.marker)
        .expect("writing to a string can't fail");
}

/// Rewrites a paragraph. The items of a list are rewritten separately.
fn rewrite_paragraph(paragraph: &[&str], vocabulary: &Vocabulary, width: usize) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in paragraph {
        let begins_item = line.starts_with(['*', '-', '#', '|', '>'])
            || line
                .split_once(". ")
                .is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        match parts.last_mut() {
            Some(last) if !begins_item => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => parts.push((*line).to_owned()),
        }
    }
    let left: Vec<String> = parts
        .iter()
        .map(|part| remaining_text(part, vocabulary))
        .collect();
    if left == parts {
        return paragraph.iter().map(|line| (*line).to_owned()).collect();
    }
    let left = left.iter().filter(|part| !part.is_empty());
    left.flat_map(|part| wrap(part, width)).collect()
}

/// The sentences of a text that aren't about lessons. When a sentence ends with `: the lesson …`, only that is removed.
fn remaining_text(text: &str, vocabulary: &Vocabulary) -> String {
    if !vocabulary.is_about_lessons(text) {
        return text.to_owned();
    }
    let remaining: Vec<String> = sentences(text)
        .into_iter()
        .filter_map(|sentence| {
            let without = match sentence.split_once(": the lesson `") {
                Some((begin, rest)) => {
                    let rest = rest.split_once('`').map_or("", |(_, rest)| rest);
                    format!("{begin}{rest}")
                }
                None => sentence.to_owned(),
            };
            (!vocabulary.is_about_lessons(&without)).then_some(without)
        })
        .collect();
    remaining.join(" ")
}

fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let (mut start, mut code) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            '`' => code = !code,
            '.' | '?' if !code => {
                let rest = &text[at + 1..];
                let ends = rest.starts_with(' ')
                    && rest[1..]
                        .starts_with(|next: char| next.is_uppercase() || matches!(next, '`' | '[' | '*'));
                if ends {
                    sentences.push(&text[start..=at]);
                    start = at + 2;
                }
            }
            _ => {}
        }
    }
    sentences.push(&text[start..]);
    sentences
}

/// Wraps a text into lines. Continuation lines of a list item are indented.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let indentation = match text.split_once(' ') {
        Some((mark @ ("-" | "*"), _)) => mark.len() + 1,
        Some((mark, _))
            if mark
                .strip_suffix('.')
                .is_some_and(|number| number.parse::<u8>().is_ok()) =>
        {
            mark.len() + 1
        }
        _ => 0,
    };
    if text.starts_with('|') {
        return vec![text.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + 1 + word.len() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("{}{word}", " ".repeat(indentation)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let vocabulary = Vocabulary {
            names: vec!["row_lock.rs".to_owned()],
        };
        rewrite(&Source::parse("t", text.to_owned()).unwrap(), &vocabulary)
    }

    #[test]
    fn sentences_about_lessons_are_removed_and_others_stay() {
        let text = "//! How stock is taken: the lesson `stock`.\n//!\n//! The arms differ. See `row_lock.rs`. Rows\n//! are \
                    locked.\n\n/// Counts.\nfn f() {\n    // A baseline waits.\n    let text = \"\n// an arm\n\";\n}\n";
        assert_eq!(
            rewritten(text),
            "//! How stock is taken.\n//!\n//! Rows are locked.\n\n/// Counts.\nfn f() {\n    let text = \"\n// an arm\n\";\n}\n"
        );
    }
}
