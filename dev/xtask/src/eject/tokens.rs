//! A Rust source as a flat list of tokens with their places in the text, and edits of that text.

use std::ops::Range;

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A token, or one side of a pair of delimiters.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) range: Range<usize>,
    /// The index of the other delimiter.
    pub(super) pair: Option<usize>,
}

/// A source file.
pub(super) struct Source {
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
}

impl Source {
    /// # Errors
    /// When the text isn't Rust.
    pub(super) fn parse(path: &str, text: String) -> Result<Self> {
        let stream: TokenStream = text
            .parse()
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("{path} can't be parsed"))?;
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        Ok(Self { text, tokens })
    }

    /// The token at an index; past the end it has no text.
    pub(super) fn text_at(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| token.text.as_str())
    }

    /// Whether these tokens begin at an index.
    pub(super) fn has_at(&self, index: usize, texts: &[&str]) -> bool {
        texts
            .iter()
            .enumerate()
            .all(|(offset, text)| self.text_at(index + offset) == *text)
    }

    /// The index of the delimiter that closes the one at an index.
    pub(super) fn close_of(&self, open: usize) -> Option<usize> {
        self.tokens.get(open)?.pair
    }

    /// The items between two delimiters, separated by commas, as ranges of token indexes.
    pub(super) fn list(&self, open: usize, close: usize) -> Vec<Range<usize>> {
        let mut items = Vec::new();
        let (mut start, mut index, mut angles) = (open + 1, open + 1, 0_i32);
        while index < close {
            match self.text_at(index) {
                "<" => angles += 1,
                // Not the arrow of a return type or of a match.
                ">" if !matches!(self.text_at(index - 1), "-" | "=") => angles -= 1,
                "," if angles <= 0 => {
                    items.push(start..index);
                    start = index + 1;
                }
                _ => {}
            }
            index = self.close_of(index).filter(|pair| *pair > index).unwrap_or(index) + 1;
        }
        if start < close {
            items.push(start..close);
        }
        items
    }

    /// The text of a range of tokens.
    pub(super) fn slice(&self, tokens: &Range<usize>) -> &str {
        match (
            self.tokens.get(tokens.start),
            self.tokens.get(tokens.end.saturating_sub(1)),
        ) {
            (Some(first), Some(last)) if tokens.start < tokens.end => {
                &self.text[first.range.start..last.range.end]
            }
            _ => "",
        }
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                let at = tokens.len();
                push(tokens, open.to_owned(), group.span_open().byte_range());
                flatten(group.stream(), tokens);
                tokens[at].pair = Some(tokens.len());
                push(tokens, close.to_owned(), group.span_close().byte_range());
                let last = tokens.len() - 1;
                tokens[last].pair = Some(at);
            }
            other => push(tokens, other.to_string(), other.span().byte_range()),
        }
    }
}

fn push(tokens: &mut Vec<Token>, text: String, range: Range<usize>) {
    tokens.push(Token {
        text,
        range,
        pair: None,
    });
}

/// A range with the rest of its lines, if that is blank.
fn whole_lines(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[range.end..]
        .find('\n')
        .map(|newline| range.end + newline + 1);
    match end {
        Some(end) if text[start..range.start].trim().is_empty() && text[range.end..end].trim().is_empty() => {
            start..end
        }
        _ => range,
    }
}

/// Replacements in a text.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.replace(range, String::new());
    }

    pub(super) fn replace(&mut self, range: Range<usize>, with: String) {
        self.0.push((range, with));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies them. One within another is dropped.
    /// What is removed takes its lines along if nothing else is on them.
    pub(super) fn apply(mut self, text: &str) -> String {
        for (range, with) in &mut self.0 {
            if with.is_empty() {
                *range = whole_lines(text, range.clone());
            }
        }
        self.0
            .sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut edited = String::with_capacity(text.len());
        let mut at = 0;
        for (range, with) in self.0 {
            if range.start < at {
                continue;
            }
            edited.push_str(&text[at..range.start]);
            edited.push_str(&with);
            at = range.end;
        }
        edited.push_str(&text[at..]);
        edited
    }
}
