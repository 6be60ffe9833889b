//! Edits at places that are found by their tokens, so that formatting and comments don't matter, and all other text stays
//! as it is.
//!
//! A place is a list of patterns. Each is searched inside of the delimiters that the previous one ends with, at any depth. A
//! pattern consists of tokens; `…` skips some: `["impl Consumer {", "fn event … {"]` is the body of that function.

use std::cmp::Reverse;
use std::ops::Range;

use anyhow::{Context, Result, anyhow, bail, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

type Place = &'static [&'static str];

/// An insertion of a text with placeholders.
pub(super) enum Edit {
    /// Before what the place's last pattern matches.
    Before(Place, &'static str),
    /// Behind the delimiter at the place's end.
    Prepend(Place, &'static str),
    /// At the end of the list in those delimiters.
    Append(Place, &'static str),
    /// Adds 1 to the number at the end of that list: an array's length.
    Increment(Place),
    /// Below the last module that is declared. rustfmt sorts the lines of a paragraph.
    Module(&'static str),
    /// At the end of the file.
    End(&'static str),
    /// Among the lines of a file that isn't Rust. They are sorted, and begin as this one up to its first quote.
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

/// The text with all edits. `fill` replaces their placeholders.
pub(super) fn edit(text: &str, edits: &[Edit], fill: &dyn Fn(&str) -> String) -> Result<String> {
    if let [Edit::Line(line)] = edits {
        return insert_line(text, &fill(line));
    }
    let tokens = parse(text)?;
    let changes = edits.iter().map(|edit| edit.change(&tokens, text.len()));
    let mut changes = changes.collect::<Result<Vec<_>>>()?;
    // From the end, so that the other positions stay valid.
    changes.sort_by_key(|(range, _)| Reverse(range.start));
    let mut edited = text.to_owned();
    for (range, new) in changes {
        edited.replace_range(range, &fill(&new));
    }
    Ok(edited)
}

impl Edit {
    /// The bytes to replace, and by what.
    fn change(&self, tokens: &[TokenTree], length: usize) -> Result<(Range<usize>, String)> {
        let (at, text) = match self {
            Edit::Before(place, text) => (range(&find(tokens, place)?.0).start, (*text).to_owned()),
            Edit::Prepend(place, text) => (range(&find(tokens, place)?.1).start + 1, (*text).to_owned()),
            Edit::Append(place, item) => {
                let last = last_inside(tokens, place)?;
                let is_comma = last.to_string() == ",";
                let text = if is_comma {
                    format!("\n{item},")
                } else {
                    format!(",\n{item}")
                };
                (range(&last).end, text)
            }
            Edit::Increment(place) => {
                let last = last_inside(tokens, place)?;
                let number: usize = last.to_string().parse().context("not a number")?;
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
            Edit::Line(_) => bail!("lines are inserted into other files than Rust"),
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
        .context("there is no such line")?;
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

/// The tokens inside of a token's delimiters, if it has any.
fn inside(token: &TokenTree) -> Vec<TokenTree> {
    match token {
        TokenTree::Group(group) => group.stream().into_iter().collect(),
        _ => Vec::new(),
    }
}

fn last_inside(tokens: &[TokenTree], place: Place) -> Result<TokenTree> {
    let last = inside(&find(tokens, place)?.1).pop();
    last.with_context(|| format!("nothing is in `{}`", place.join(" ")))
}

fn range(token: &TokenTree) -> Range<usize> {
    token.span().byte_range()
}

/// The first and the last token of what the place's last pattern matches.
fn find(tokens: &[TokenTree], place: Place) -> Result<(TokenTree, TokenTree)> {
    let (pattern, rest) = place.split_first().context("a place has a pattern")?;
    let found = search(tokens, pattern).with_context(|| {
        format!("`{pattern}` marks where to insert, and is missing: restore it, or edit by hand")
    })?;
    if rest.is_empty() {
        Ok(found)
    } else {
        find(&inside(&found.1), rest)
    }
}

/// The first match among these tokens, or else inside of them.
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

/// Whether a word of a pattern stands for this token. An opening delimiter stands for all up to the closing one.
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
