//! Edits Rust sources at positions that are found by their tokens. Formatting and comments don't affect the search, and
//! all other text is preserved.
//!
//! A `TokenPath` is a list of patterns. Each is searched inside the delimiters that end the previous match, at any
//! depth. A pattern consists of tokens, and `…` skips any number of them. So `["impl Consumer {", "fn event … {"]`
//! finds the body of that function.

use std::cmp::Reverse;
use std::ops::Range;

use anyhow::{Context, Result, anyhow, bail, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

type TokenPath = &'static [&'static str];

/// A change of a file. Its text has placeholders.
pub(super) enum Edit {
    /// Inserts before the match of the last pattern.
    Before(TokenPath, &'static str),
    /// Inserts after the opening delimiter that ends the match.
    Prepend(TokenPath, &'static str),
    /// Appends to the list inside those delimiters.
    Append(TokenPath, &'static str),
    /// Adds 1 to the number that ends that list, for example an array's length.
    Increment(TokenPath),
    /// Inserts after the last module declaration. rustfmt sorts adjacent declarations.
    Module(&'static str),
    /// Appends to the file.
    End(&'static str),
    /// Inserts into the sorted lines of a file that isn't Rust, among those with the same text up to the first quote.
    Line(&'static str),
}

/// Whether an identifier occurs in a Rust source.
pub(super) fn has_identifier(text: &str, name: &str) -> Result<bool> {
    fn occurs(tokens: &[TokenTree], name: &str) -> bool {
        let is = |token: &TokenTree| matches!(token, TokenTree::Ident(found) if found == name);
        tokens
            .iter()
            .any(|token| is(token) || occurs(&inside(token), name))
    }
    Ok(occurs(&parse(text)?, name))
}

/// Applies all edits to the text. `fill` replaces their placeholders.
pub(super) fn edit(text: &str, edits: &[Edit], fill: &dyn Fn(&str) -> String) -> Result<String> {
    if let [Edit::Line(line)] = edits {
        return insert_line(text, &fill(line));
    }
    let tokens = parse(text)?;
    let changes = edits.iter().map(|edit| edit.change(&tokens, text.len()));
    let mut changes = changes.collect::<Result<Vec<_>>>()?;
    // From the end, so that the remaining positions stay valid.
    changes.sort_by_key(|(range, _)| Reverse(range.start));
    let mut edited = text.to_owned();
    for (range, new) in changes {
        edited.replace_range(range, &fill(&new));
    }
    Ok(edited)
}

impl Edit {
    /// The range of bytes to replace, and the new text.
    fn change(&self, tokens: &[TokenTree], length: usize) -> Result<(Range<usize>, String)> {
        let (at, text) = match self {
            Edit::Before(path, text) => (range(&find(tokens, path)?.0).start, (*text).to_owned()),
            Edit::Prepend(path, text) => (range(&find(tokens, path)?.1).start + 1, (*text).to_owned()),
            Edit::Append(path, item) => {
                let last = last_inside(tokens, path)?;
                let is_comma = last.to_string() == ",";
                let text = if is_comma {
                    format!("\n{item},")
                } else {
                    format!(",\n{item}")
                };
                (range(&last).end, text)
            }
            Edit::Increment(path) => {
                let last = last_inside(tokens, path)?;
                let number: usize = last
                    .to_string()
                    .parse()
                    .with_context(|| format!("`{last}` isn't a number"))?;
                return Ok((range(&last), (number + 1).to_string()));
            }
            Edit::Module(text) => {
                let is_module = |at: &[TokenTree]| is(&at[0], "mod") && is(&at[2], ";");
                let last = tokens
                    .windows(3)
                    .rfind(|at| is_module(at))
                    .context("no module is declared")?;
                (range(&last[2]).end, format!("\n{text}"))
            }
            Edit::End(text) => (length, (*text).to_owned()),
            Edit::Line(_) => bail!("`Line` must be the only edit of a file, which isn't Rust"),
        };
        Ok((at..at, text))
    }
}

fn insert_line(text: &str, line: &str) -> Result<String> {
    let begin = line.find('"').map_or(line, |quote| &line[..=quote]);
    let mut lines: Vec<&str> = text.lines().collect();
    ensure!(
        !lines.contains(&line),
        "there is {} already: choose another name",
        line.trim().trim_end_matches(',')
    );
    let last = lines
        .iter()
        .rposition(|other| other.starts_with(begin))
        .with_context(|| format!("no line begins with `{begin}`, which marks where to insert"))?;
    let greater = lines
        .iter()
        .position(|other| other.starts_with(begin) && *other > line);
    lines.insert(greater.unwrap_or(last + 1), line);
    Ok(lines.join("\n") + "\n")
}

fn parse(text: &str) -> Result<Vec<TokenTree>> {
    let tokens = text
        .parse::<TokenStream>()
        .map_err(|error| anyhow!("not valid Rust, repair it first: {error}"))?;
    Ok(tokens.into_iter().collect())
}

/// The tokens inside a group's delimiters. Empty for other tokens.
fn inside(token: &TokenTree) -> Vec<TokenTree> {
    match token {
        TokenTree::Group(group) => group.stream().into_iter().collect(),
        _ => Vec::new(),
    }
}

fn last_inside(tokens: &[TokenTree], path: TokenPath) -> Result<TokenTree> {
    let last = inside(&find(tokens, path)?.1).pop();
    last.with_context(|| format!("`{}` is empty", path.join(" ")))
}

fn range(token: &TokenTree) -> Range<usize> {
    token.span().byte_range()
}

/// The first and the last token of the match of the path's last pattern.
fn find(tokens: &[TokenTree], path: TokenPath) -> Result<(TokenTree, TokenTree)> {
    let (pattern, rest) = path.split_first().context("a path has no pattern")?;
    let found = search(tokens, pattern).with_context(|| {
        format!("`{pattern}` marks where to insert, and is missing: restore it, or edit by hand")
    })?;
    if rest.is_empty() {
        Ok(found)
    } else {
        find(&inside(&found.1), rest)
    }
}

/// The first match among these tokens, or else inside their groups.
fn search(tokens: &[TokenTree], pattern: &str) -> Option<(TokenTree, TokenTree)> {
    let here = || {
        let (mut first, mut next) = (None, 0);
        for run in pattern.split(" … ") {
            let words: Vec<&str> = run.split(' ').collect();
            let matches = |at: &[TokenTree]| at.iter().zip(&words).all(|(token, word)| is(token, word));
            let at = next + tokens[next..].windows(words.len()).position(matches)?;
            first.get_or_insert(at);
            next = at + words.len();
        }
        Some((tokens[first?].clone(), tokens[next - 1].clone()))
    };
    here().or_else(|| tokens.iter().find_map(|token| search(&inside(token), pattern)))
}

/// Whether a pattern's word matches this token. An opening delimiter matches the whole group up to the closing one.
fn is(token: &TokenTree, word: &str) -> bool {
    match token {
        TokenTree::Group(group) => match group.delimiter() {
            Delimiter::Brace => word == "{",
            Delimiter::Bracket => word == "[",
            Delimiter::Parenthesis => word == "(",
            Delimiter::None => false,
        },
        _ => token.to_string() == word,
    }
}
