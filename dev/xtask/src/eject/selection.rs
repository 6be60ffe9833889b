//! Removes the flow of the selection from where it is parsed to the components: parameters, fields, arguments and statements.

use std::collections::BTreeSet;
use std::ops::Range;

use super::tokens::{Edits, Source};

/// Removes what names the selection or a type of `techniques`.
pub(super) fn remove(source: &Source) -> Option<String> {
    let mut edits = Edits::default();
    let mut names = BTreeSet::from(["selection".to_owned()]);
    for item in uses_of_techniques(source) {
        names.extend(
            item.clone()
                .map(|at| source.text_at(at).to_owned())
                .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase())),
        );
        let end = source.tokens[item.end - 1].range.end;
        let newline = usize::from(source.text[end..].starts_with('\n'));
        edits.remove(source.tokens[item.start].range.start..end + newline);
    }
    // The names of parameters that are removed.
    names.extend(parameters(source, &names));
    for open in 0..source.tokens.len() {
        let Some(close) = source.close_of(open).filter(|close| *close > open) else {
            continue;
        };
        let statements = source.text_at(open) == "{" && has_at_level(source, open + 1..close, &[";"]);
        let items = match statements {
            true => split_at(source, open, close, ";"),
            false => source.list(open, close),
        };
        for item in items {
            if !is_about_selection(source, &item, &names) {
                continue;
            }
            let start = source.tokens[item.start].range.start;
            let end = match source.text_at(item.end) {
                "," | ";" => source.tokens[item.end].range.end,
                _ => source.tokens[item.end - 1].range.end,
            };
            edits.remove(start..end);
        }
    }
    (!edits.is_empty()).then(|| edits.apply(&source.text))
}

/// The items `use techniques::…;`.
fn uses_of_techniques(source: &Source) -> Vec<Range<usize>> {
    (0..source.tokens.len())
        .filter(|at| source.has_at(*at, &["use", "techniques"]))
        .map(|at| {
            let end = (at..source.tokens.len()).find(|end| source.text_at(*end) == ";");
            at..end.map_or(source.tokens.len(), |end| end + 1)
        })
        .collect()
}

/// The names of parameters whose type is one of these.
fn parameters(source: &Source, types: &BTreeSet<String>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for at in 0..source.tokens.len() {
        let Some(open) = (source.text_at(at) == "fn").then_some(at + 2) else {
            continue;
        };
        let Some(close) = source.close_of(open).filter(|_| source.text_at(open) == "(") else {
            continue;
        };
        for parameter in source.list(open, close) {
            let is_typed = source.text_at(parameter.start + 1) == ":";
            if is_typed && is_about_selection(source, &parameter, types) {
                names.insert(source.text_at(parameter.start).to_owned());
            }
        }
    }
    names
}

fn is_about_selection(source: &Source, item: &Range<usize>, names: &BTreeSet<String>) -> bool {
    let mut index = item.start;
    while index < item.end {
        // Attributes don't count.
        if source.text_at(index) == "#"
            && let Some(close) = source.close_of(index + 1)
        {
            index = close + 1;
            continue;
        }
        let text = source.text_at(index);
        let is_field_of_other = text != "selection" && index > item.start && source.text_at(index - 1) == ".";
        let is_name = names.contains(text) && !is_field_of_other;
        if is_name || source.has_at(index, &["techniques", ":", ":"]) {
            return true;
        }
        index = source
            .close_of(index)
            .filter(|pair| *pair > index)
            .unwrap_or(index)
            + 1;
    }
    false
}

fn has_at_level(source: &Source, tokens: Range<usize>, texts: &[&str]) -> bool {
    let mut index = tokens.start;
    while index < tokens.end {
        if texts.contains(&source.text_at(index)) {
            return true;
        }
        index = source
            .close_of(index)
            .filter(|pair| *pair > index)
            .unwrap_or(index)
            + 1;
    }
    false
}

/// The statements of a block. One that ends with braces belongs to the next.
fn split_at(source: &Source, open: usize, close: usize, separator: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let (mut start, mut index) = (open + 1, open + 1);
    while index < close {
        if source.text_at(index) == separator {
            items.push(start..index);
            start = index + 1;
        }
        let is_braces = source.text_at(index) == "{";
        index = source
            .close_of(index)
            .filter(|pair| *pair > index)
            .unwrap_or(index)
            + 1;
        // An `if` or a `match` without a semicolon ends a statement.
        let ends = is_braces && !matches!(source.text_at(index), ";" | "else" | "." | "?" | ")" | ",");
        if ends && index < close {
            start = index;
        }
    }
    if start < close {
        items.push(start..close);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_fields_arguments_and_statements_go() {
        let text = "use techniques::{Lines, Selection};\nstruct A {\n    /// Arms.\n    #[arg(long)]\n    pub selection: Selection,\n    b: u8,\n}\n\
            fn f(arm: Lines, b: &B) -> A {\n    let selection = b.selection;\n    if x { y(); }\n    b.selection.log();\n    let l = g(h(arm), b, selection.lines);\n    A { selection, b: l }\n}\n";
        let source = Source::parse("t", text.to_owned()).unwrap();
        let words: String = remove(&source).unwrap().split_whitespace().collect();
        assert_eq!(
            words,
            "structA{b:u8,}fnf(b:&B)->A{ifx{y();}letl=g(h(),b,);A{b:l}}"
        );
    }
}
