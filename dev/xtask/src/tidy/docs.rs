//! The rule on doc comments: in library crates, every `pub` function and type has one, methods included.
//!
//! A library is read from other crates, where the body is out of sight, and with it the unit, the range and the reason of
//! an error. rustc's lint `missing_docs` would also ask for a comment on every field and variant, and most of those would
//! repeat the name. Binaries and tests have no callers elsewhere.

use super::Finding;
use super::files::{Files, TextFile};

/// Between `pub` and the kind of an item.
const QUALIFIERS: [&str; 3] = ["async", "const", "unsafe"];

const KINDS: [&str; 5] = ["fn", "struct", "enum", "trait", "type"];

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for library in files.ending("/src/lib.rs") {
        let directory = library.path.trim_end_matches("lib.rs");
        let binary = files.find(&format!("{directory}main.rs"));
        let binary_modules: Vec<&str> = binary.map(declared_modules).unwrap_or_default();
        for file in files.ending(".rs") {
            if is_in_library(&file.path, directory, &binary_modules) {
                findings.extend(undocumented_items(file));
            }
        }
    }
    findings
}

/// The modules that a file declares as other files.
fn declared_modules(file: &TextFile) -> Vec<&str> {
    let declarations = file.text.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    declarations.collect()
}

/// Whether a file belongs to the library in this directory, and not to the binary beside it or to unit tests.
fn is_in_library(path: &str, directory: &str, binary_modules: &[&str]) -> bool {
    let Some(path) = path.strip_prefix(directory) else {
        return false;
    };
    let module = path.split(['/', '.']).next().unwrap_or_default();
    let is_test = path.rsplit('/').next() == Some("tests.rs");
    module != "main" && !binary_modules.contains(&module) && !is_test
}

/// Attributes and ordinary comments may stand between a doc comment and its item.
fn undocumented_items(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_documented = false;
    // Brackets of an attribute that are still open.
    let mut open_brackets = 0;
    // The last line of a module with unit tests.
    let mut end_of_tests: Option<String> = None;
    for (number, line) in file.lines() {
        let text = line.trim();
        if let Some(end) = &end_of_tests {
            if line == end {
                end_of_tests = None;
            }
        } else if open_brackets > 0 || text.starts_with("#[") {
            let attribute = text.split(" // ").next().unwrap_or_default();
            let brackets = |bracket| attribute.matches(bracket).count() as i64;
            open_brackets += brackets('[') - brackets(']');
        } else if text.starts_with("///") {
            is_documented = true;
        } else if !text.starts_with("//") {
            if text == "mod tests {" {
                end_of_tests = Some(line.replace("mod tests {", "}"));
            }
            if let Some(name) = public_item(text)
                && !is_documented
            {
                let message = format!(
                    "say in a doc comment what `{name}` is or does, and its units, ranges and errors"
                );
                findings.push(Finding::new(&file.path, number, message));
            }
            is_documented = false;
        }
    }
    findings
}

/// The name of the public function or type that a line declares. `None` for a macro's `$name`, whose doc comment is in
/// the macro's input.
fn public_item(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("pub ")?.split(' ');
    let kind = words.find(|word| !QUALIFIERS.contains(word))?;
    let name = words.next()?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &name[..end.unwrap_or(name.len())];
    (KINDS.contains(&kind) && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| TextFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let findings = check(&Files {
            all: files.iter().map(file).collect(),
        });
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn public_functions_and_types_need_a_doc_comment() {
        let text = "//! A library.\n\
                    pub struct Cart<T>(T);\n\
                    impl<T> Cart<T> {\n    \
                        pub const fn len(&self) -> usize {\n        0\n    }\n\
                    }\n\
                    pub async unsafe fn send() {}\n";
        let found = found(&[("a/src/lib.rs", text)]);
        assert_eq!(found.len(), 3, "{found:?}");
        for (finding, start) in found.iter().zip([
            "a/src/lib.rs:2: say in a doc comment what `Cart` is",
            "a/src/lib.rs:4: say in a doc comment what `len` is",
            "a/src/lib.rs:8: say in a doc comment what `send` is",
        ]) {
            assert!(finding.starts_with(start), "{finding}");
        }
    }

    #[test]
    fn attributes_and_comments_may_follow_the_doc_comment() {
        let text = "//! A library.\n\
                    /// An error.\n\
                    #[derive(\n    Debug,\n    Clone\n)]\n\
                    #[error(\"no [list]\")] // Shown to clients.\n\
                    // A remark.\n\
                    pub enum Error {}\n";
        assert_eq!(found(&[("a/src/lib.rs", text)]), [""; 0]);
    }

    #[test]
    fn a_doc_comment_serves_one_item_only() {
        let text = "//! A library.\n/// One.\npub trait One {}\npub trait Two {}\n";
        assert_eq!(found(&[("a/src/lib.rs", text)]).len(), 1);
        let of_a_field =
            "//! A library.\nstruct One {\n    /// A number.\n    one: u8,\n}\npub type Two = One;\n";
        assert_eq!(found(&[("a/src/lib.rs", of_a_field)]).len(), 1);
    }

    #[test]
    fn restricted_items_constants_and_unit_tests_need_none() {
        let text = "//! A library.\n\
                    pub(crate) fn one() {}\n\
                    pub(super) struct Two;\n\
                    pub const THREE: u8 = 3;\n\
                    pub mod four;\n\
                    pub enum $name {}\n\
                    #[cfg(test)]\n\
                    mod tests {\n    pub fn five() {\n    }\n}\n";
        let files = [
            ("a/src/lib.rs", text),
            ("a/src/four/tests.rs", "pub fn six() {}\n"),
            ("a/tests/seven.rs", "pub fn seven() {}\n"),
        ];
        assert_eq!(found(&files), [""; 0]);
        let after = format!("{text}pub fn eight() {{}}\n");
        assert_eq!(found(&[("a/src/lib.rs", after.as_str())]).len(), 1);
    }

    #[test]
    fn binaries_need_none() {
        let item = "pub fn it() {}\n";
        let files = [
            ("a/src/lib.rs", "//! A library.\npub mod cart;\n"),
            ("a/src/main.rs", "//! A binary.\nmod serve;\npub fn it() {}\n"),
            ("a/src/serve.rs", item),
            ("a/src/serve/drain.rs", item),
            ("a/src/cart.rs", item),
            ("b/src/main.rs", item),
            ("b/src/cart.rs", item),
        ];
        let found = found(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("a/src/cart.rs:1:"), "{found:?}");
    }
}
