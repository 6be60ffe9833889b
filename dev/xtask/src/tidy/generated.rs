//! Generated blocks of documents, each between two markers: `check` compares them, `rewrite` writes them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Finding;
use super::files::Files;

/// Generated text in a document, between `<!-- name:begin -->` and `<!-- name:end -->`.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) document: String,
    pub(super) name: String,
    pub(super) text: String,
}

impl Block {
    fn markers(&self) -> [String; 2] {
        ["begin", "end"].map(|end| format!("<!-- {}:{end} -->", self.name))
    }

    /// The document up to and with the opening marker, the block, and the rest.
    fn split<'t>(&self, document: &'t str) -> Option<[&'t str; 3]> {
        let [begin, end] = self.markers();
        let begin = document.find(&begin)? + begin.len();
        let end = begin + document[begin..].find(&end)?;
        Some([&document[..begin], &document[begin..end], &document[end..]])
    }
}

pub(super) fn check(files: &Files, blocks: &[Block]) -> Vec<Finding> {
    let finding = |block: &Block| {
        let document = files.find(&block.document).map_or("", |file| &file.text);
        let (line, fault) = match block.split(document) {
            None => (
                1,
                format!("has no block between {}", block.markers().join(" and ")),
            ),
            Some([_, found, _]) if found == block.text => return None,
            Some([before, ..]) => {
                let fault = format!(
                    "the block `{}` is out of date: run cargo xtask tidy --fix",
                    block.name
                );
                (before.lines().count() + 1, fault)
            }
        };
        Some(Finding::new(&block.document, line, fault))
    };
    blocks.iter().filter_map(finding).collect()
}

pub(super) fn rewrite(files: &Files, root: &Path, blocks: &[Block]) -> Result<()> {
    for block in blocks {
        let name = &block.document;
        files.find(name).with_context(|| format!("there is no {name}"))?;
        // A document may have several blocks, so it is read again.
        let document = fs::read_to_string(root.join(name))?;
        let Some([before, found, after]) = block.split(&document) else {
            bail!(
                "{name} has no block: add {} on separate lines",
                block.markers().join(" and ")
            );
        };
        if found != block.text {
            fs::write(root.join(name), format!("{before}{}{after}", block.text))
                .with_context(|| format!("cannot write {name}"))?;
            println!("rewrote the block `{}` of {name}", block.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::files::TextFile;

    fn findings(document: &str) -> Vec<String> {
        let block = Block {
            document: "a.md".to_owned(),
            name: "settings:x y".to_owned(),
            text: "\nnew\n".to_owned(),
        };
        let file = TextFile {
            path: "a.md".to_owned(),
            text: document.to_owned(),
        };
        let findings = check(&Files { all: vec![file] }, &[block]);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_block_is_found_between_its_own_markers_and_compared() {
        let document =
            |block| format!("a\n<!-- settings:x y:begin -->\n{block}\n<!-- settings:x y:end -->\nrest\n");
        assert_eq!(findings(&document("new")), [""; 0]);
        assert!(findings(&document("old"))[0].starts_with("a.md:3: the block `settings:x y` is out of date"));
        let other = document("new").replace("x y", "x");
        assert!(findings(&other)[0].starts_with("a.md:1: has no block between <!-- settings:x y:begin"));
    }
}
