//! The words of the catalogue: what a shop sells, what it is made of, what people say about it, and
//! where they live.
//!
//! Plain lists and sentence patterns, in text files beside the modules. Two rules hold for every word here: it contains
//! no quote or backslash, which JSON would escape, and no name of a series ([`super::series`]), whose search answers are
//! known.

/// The lines below a heading of a file, up to an empty line.
fn words(file: &'static str, heading: &str) -> Vec<&'static str> {
    let (_, section) = file
        .split_once(&format!("# {heading}\n"))
        .expect("the file has this heading");
    section.lines().take_while(|line| !line.is_empty()).collect()
}

/// Declares lists by their headings in a file.
macro_rules! word_lists {
    ($file:literal: $($(#[$doc:meta])* $visibility:vis $name:ident = $heading:literal;)+) => {
        $(
            $(#[$doc])*
            $visibility static $name: std::sync::LazyLock<Vec<&'static str>> =
                std::sync::LazyLock::new(|| super::words(include_str!($file), $heading));
        )+
    };
}

pub mod departments;
pub mod descriptions;
pub mod names;
pub mod places;
pub mod reviews;

/// Fills a pattern: each `{name}` is replaced by what `value` gives for it.
fn fill<'a>(text: &mut String, pattern: &str, mut value: impl FnMut(&str) -> &'a str) {
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').expect("every brace of a pattern is closed");
        text.push_str(before);
        text.push_str(value(name));
        rest = tail;
    }
    text.push_str(rest);
}
