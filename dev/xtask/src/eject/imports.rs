//! Removes names from `use` items that a file mentioned before, and no longer does.

use std::collections::BTreeMap;
use std::ops::Range;

use super::tokens::{Edits, Source};

/// Drops the names that `before` mentions outside its `use` items, and `after` doesn't.
pub(super) fn drop_unused(before: &Source, after: &Source) -> Option<String> {
    let (mentioned, left) = (mentions(before), mentions(after));
    let mut edits = Edits::default();
    for item in uses(after) {
        let leaves = leaves(after, &item);
        let is_unused = |leaf: &Leaf| {
            let known = |mentions: &BTreeMap<String, usize>| mentions.contains_key(&leaf.name);
            known(&mentioned) && !known(&left)
        };
        let unused: Vec<&Leaf> = leaves.iter().filter(|leaf| is_unused(leaf)).collect();
        if unused.is_empty() {
            continue;
        }
        let first = with_attributes(after, item.start);
        if unused.len() == leaves.len() {
            let end = after.tokens[item.end - 1].range.end;
            edits.remove(first..end + usize::from(after.text[end..].starts_with('\n')));
            continue;
        }
        for leaf in unused {
            edits.remove(leaf.range.clone());
        }
    }
    if edits.is_empty() {
        return None;
    }
    Some(tidy_braces(&edits.apply(&after.text)))
}

/// A name that a `use` item brings.
struct Leaf {
    name: String,
    range: Range<usize>,
}

/// The `use` items that are private, as ranges of tokens.
fn uses(source: &Source) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < source.tokens.len() {
        let is_private = index == 0 || !matches!(source.text_at(index - 1), "pub" | ")" | "#");
        if source.text_at(index) == "use" && is_private {
            let end = (index..source.tokens.len())
                .find(|at| source.text_at(*at) == ";")
                .map_or(source.tokens.len(), |at| at + 1);
            found.push(index..end);
            index = end;
        } else {
            index += 1;
        }
    }
    found
}

fn mentions(source: &Source) -> BTreeMap<String, usize> {
    let mut mentions = BTreeMap::new();
    let uses = uses(source);
    for (index, token) in source.tokens.iter().enumerate() {
        let is_in_use = uses.iter().any(|item| item.contains(&index));
        // A doc comment is `#[doc = "…"]`.
        if !is_in_use && token.text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            *mentions.entry(token.text.clone()).or_default() += 1;
        }
    }
    mentions
}

fn leaves(source: &Source, item: &Range<usize>) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for index in item.start + 1..item.end {
        let next = source.text_at(index + 1);
        let is_name = source
            .text_at(index)
            .starts_with(|c: char| c.is_alphabetic() || c == '_');
        if !is_name || !matches!(next, "," | "}" | ";") {
            continue;
        }
        let text = source.text_at(index);
        // `a as b` brings b, and `a::{self}` brings a.
        let mut first = match source.text_at(index - 1) {
            "as" => index - 2,
            _ => index,
        };
        let name = match text {
            "self" => source.text_at(index.saturating_sub(4)).to_owned(),
            _ => text.to_owned(),
        };
        // The path of this leaf within its braces.
        while first > item.start + 1 && source.text_at(first - 1) == ":" {
            first -= 3;
        }
        let end = source.tokens[index].range.end;
        let end = match next {
            "," => source.tokens[index + 1].range.end,
            _ => end,
        };
        leaves.push(Leaf {
            name,
            range: source.tokens[first].range.start..end,
        });
    }
    leaves
}

fn with_attributes(source: &Source, mut first: usize) -> usize {
    while first > 0
        && source.text_at(first - 1) == "]"
        && let Some(open) = source.tokens[first - 1].pair
        && open > 0
        && source.text_at(open - 1) == "#"
    {
        first = open - 1;
    }
    source.tokens[first].range.start
}

/// `{a, }` becomes `{a}`, and `{a}` in a `use` becomes `a`; rustfmt does the rest.
fn tidy_braces(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    for line in text.split_inclusive("\n") {
        let is_use = line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ");
        let single = line.split_once('{').and_then(|(begin, rest)| {
            let (name, end) = rest.split_once('}')?;
            let name = name.trim().trim_end_matches(',').trim();
            let is_single = is_use && !name.contains([',', '{', ' ']) && !name.is_empty() && name != "self";
            is_single.then(|| format!("{begin}{name}{end}"))
        });
        tidied.push_str(single.as_deref().unwrap_or(line));
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_no_longer_mentioned_go() {
        let before = "use a::{B, C};\nuse d::E;\nuse f::G as _;\nuse h::Trait;\nfn x(b: B, c: C, e: E) {}\n";
        let after = "use a::{B, C};\nuse d::E;\nuse f::G as _;\nuse h::Trait;\nfn x(c: C) {}\n";
        let parse = |text: &str| Source::parse("t", text.to_owned()).unwrap();
        assert_eq!(
            drop_unused(&parse(before), &parse(after)).unwrap(),
            "use a::C;\nuse f::G as _;\nuse h::Trait;\nfn x(c: C) {}\n"
        );
    }
}
