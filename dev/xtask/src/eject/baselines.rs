//! Removes what only a build with baselines has: items, statements, match arms, fields and elements behind
//! `#[cfg(feature = "baselines")]`.

use std::ops::Range;

use super::tokens::{Edits, Source};

const CFG: [&str; 9] = ["#", "[", "cfg", "(", "feature", "=", "\"baselines\"", ")", "]"];
const CFG_NOT: [&str; 12] = [
    "#",
    "[",
    "cfg",
    "(",
    "not",
    "(",
    "feature",
    "=",
    "\"baselines\"",
    ")",
    ")",
    "]",
];
const INNER_CFG_ATTR: [&str; 10] = [
    "#",
    "!",
    "[",
    "cfg_attr",
    "(",
    "not",
    "(",
    "feature",
    "=",
    "\"baselines\"",
];
const INNER_CFG: [&str; 10] = [
    "#",
    "!",
    "[",
    "cfg",
    "(",
    "feature",
    "=",
    "\"baselines\"",
    ")",
    "]",
];

/// Items that end with a semicolon, whatever braces they have.
const UNTIL_SEMICOLON: [&str; 5] = ["use", "let", "const", "static", "type"];

/// Items that end with a semicolon or their braces.
const UNTIL_BRACES: [&str; 10] = [
    "fn", "struct", "enum", "impl", "mod", "trait", "if", "for", "match", "while",
];

/// A source without its baselines.
pub(super) struct Stripped {
    /// `None` if the whole file is a baseline.
    pub(super) text: Option<String>,
    /// Modules whose declarations were removed.
    pub(super) modules: Vec<String>,
}

pub(super) fn strip(source: &Source) -> Stripped {
    let mut edits = Edits::default();
    let mut modules = Vec::new();
    for index in 0..source.tokens.len() {
        if source.has_at(index, &INNER_CFG) {
            return Stripped { text: None, modules };
        }
        if source.has_at(index, &INNER_CFG_ATTR) {
            let close = source.close_of(index + 2).expect("attributes are paired");
            edits.remove(source.tokens[index].range.start..source.tokens[close].range.end);
        }
        if source.has_at(index, &CFG_NOT) {
            let last = source.tokens[index + CFG_NOT.len() - 1].range.end;
            edits.remove(source.tokens[index].range.start..last);
        }
        if source.has_at(index, &CFG) {
            let node = node(source, index, index + CFG.len());
            if let Some(module) = module(source, &node) {
                modules.push(module);
            }
            let start = with_comments_above(&source.text, source.tokens[node.start].range.start);
            edits.remove(start..source.tokens[node.end - 1].range.end);
        }
    }
    Stripped {
        text: Some(edits.apply(&source.text)),
        modules,
    }
}

/// The tokens of what an attribute belongs to, with all its attributes.
fn node(source: &Source, mut start: usize, mut index: usize) -> Range<usize> {
    while let Some(open) = start.checked_sub(1).and_then(|close| source.tokens[close].pair)
        && source.text_at(start - 1) == "]"
        && open > 0
        && source.text_at(open - 1) == "#"
    {
        start = open - 1;
    }
    while source.text_at(index) == "#"
        && let Some(close) = source.close_of(index + 1)
    {
        index = close + 1;
    }
    start..end(source, index)
}

fn end(source: &Source, first: usize) -> usize {
    let mut index = first;
    let mut kind = None;
    let mut last_was_arrow = false;
    // Within `::<…>`, whose commas end nothing.
    let mut turbofish = false;
    while index < source.tokens.len() {
        let text = source.text_at(index);
        if kind.is_none() {
            kind = [&UNTIL_SEMICOLON[..], &UNTIL_BRACES[..]]
                .into_iter()
                .flatten()
                .find(|keyword| **keyword == text)
                .copied();
            // `const fn`, and a path such as `use` doesn't begin with a keyword after `pub`.
            if kind == Some("const") && source.text_at(index + 1) == "fn" {
                kind = None;
            }
        }
        let is_item = kind.is_some();
        match text {
            ";" => return index + 1,
            "<" if source.text_at(index - 1) == ":" => turbofish = true,
            ">" if turbofish => turbofish = false,
            "," if !is_item && !turbofish => return index + 1,
            ")" | "]" | "}" => return index,
            "{" => {
                let close = source.close_of(index).expect("braces are paired");
                let until_semicolon = kind.is_some_and(|kind| UNTIL_SEMICOLON.contains(&kind));
                let goes_on = source.text_at(close + 1) == "else";
                if (is_item && !until_semicolon && !goes_on) || last_was_arrow {
                    let comma = usize::from(!is_item && source.text_at(close + 1) == ",");
                    return close + 1 + comma;
                }
                index = close + 1;
                continue;
            }
            "(" | "[" => {
                index = source.close_of(index).expect("delimiters are paired") + 1;
                last_was_arrow = false;
                continue;
            }
            _ => {}
        }
        last_was_arrow = text == ">" && source.text_at(index - 1) == "=";
        index += 1;
    }
    index
}

/// The name of a module that is declared in another file.
fn module(source: &Source, node: &Range<usize>) -> Option<String> {
    let declared = node.end.checked_sub(3)?;
    let is_module = source.text_at(declared) == "mod" && source.text_at(node.end - 1) == ";";
    is_module.then(|| source.text_at(node.end - 2).to_owned())
}

/// The beginning of the line comments directly above a place.
fn with_comments_above(text: &str, start: usize) -> usize {
    let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    if !text[line..start].trim().is_empty() {
        return start;
    }
    let mut start = line;
    while start > 0 {
        let above = text[..start - 1].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[above..start].trim();
        if !line.starts_with("//") || line.starts_with("//!") {
            break;
        }
        start = above;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> String {
        let source = Source::parse("test", text.to_owned()).unwrap();
        strip(&source).text.unwrap()
    }

    #[test]
    fn a_baseline_goes_with_its_attributes_and_comments() {
        let text = "mod b;\n/// Slow.\n#[cfg(feature = \"baselines\")]\npub mod a;\nmod c;\n";
        assert_eq!(stripped(text), "mod b;\nmod c;\n");
    }

    #[test]
    fn match_arms_elements_and_statements_go() {
        let text = "fn f() {
            match x {
                #[cfg(feature = \"baselines\")]
                A { b, .. } => { g(b, c) }
                #[cfg(feature = \"baselines\")]
                B => h::<u8, u8>(1),
                C => 1,
            }
            let list = [1, #[cfg(feature = \"baselines\")] (2, 3), 4];
            // Why.
            #[cfg(feature = \"baselines\")]
            if let A(b) = x { return 1; } else { return 2; }
            #[cfg(feature = \"baselines\")]
            let a = match x { A => 1, _ => 2 };
            3
        }";
        let words: String = stripped(text).split_whitespace().collect();
        assert_eq!(words, "fnf(){matchx{C=>1,}letlist=[1,4];3}");
    }

    #[test]
    fn what_only_other_builds_have_stays_without_its_condition() {
        assert_eq!(
            stripped("#[cfg(not(feature = \"baselines\"))]\nfn f() {}").trim(),
            "fn f() {}"
        );
    }
}
