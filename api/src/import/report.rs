//! What an import did, and what it left out and why: the part of it that people read.

use std::fmt;

/// Handles and quoted values longer than this are cut in the report.
const SHOWN_CHARS_MAX: usize = 60;

/// One remark on one row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRemark {
    /// The line of the file on which the row starts, from 1.
    pub line: u64,
    /// The row's `Handle`, empty when it has none.
    pub handle: String,
    /// What is wrong with it, or was done about it.
    pub reason: String,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Whether anything was written. A strict import with a skipped row writes nothing.
    pub imported: bool,
    /// Products that the shop didn't have.
    pub products_created: u64,
    /// Products that the shop had under the same handle.
    pub products_updated: u64,
    /// Variants written.
    pub variants: u64,
    /// Images written.
    pub images: u64,
    /// Rows, or parts of them, that were left out, in the file's order.
    pub rows_skipped: Vec<RowRemark>,
    /// Rows that were imported, with something changed.
    pub notes: Vec<RowRemark>,
}

impl ImportReport {
    pub(super) fn skip(&mut self, line: u64, handle: &str, reason: impl fmt::Display) {
        self.rows_skipped.push(RowRemark {
            line,
            handle: handle.to_owned(),
            reason: reason.to_string(),
        });
    }

    pub(super) fn note(&mut self, line: u64, handle: &str, reason: impl fmt::Display) {
        self.notes.push(RowRemark {
            line,
            handle: handle.to_owned(),
            reason: reason.to_string(),
        });
    }

    /// Puts the remarks into the file's order: they are made product by product.
    pub(super) fn sort(&mut self) {
        self.rows_skipped.sort_by_key(|remark| remark.line);
        self.notes.sort_by_key(|remark| remark.line);
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for remark in &self.notes {
            writeln!(f, "note, {remark}")?;
        }
        for remark in &self.rows_skipped {
            writeln!(f, "skipped, {remark}")?;
        }
        if !self.imported {
            let why = if self.rows_skipped.is_empty() {
                "the file has no products"
            } else {
                "see above"
            };
            return write!(f, "Nothing imported: {why}.");
        }
        let products = self.products_created + self.products_updated;
        write!(
            f,
            "Imported {} ({} new, {} updated) with {} and {}; {} skipped.",
            Counted(products, "product"),
            self.products_created,
            self.products_updated,
            Counted(self.variants, "variant"),
            Counted(self.images, "image"),
            Counted(self.lines_skipped(), "row"),
        )
    }
}

impl ImportReport {
    /// Lines, not remarks: a row may be wrong in its variant and in its image.
    fn lines_skipped(&self) -> u64 {
        let mut lines: Vec<u64> = self.rows_skipped.iter().map(|remark| remark.line).collect();
        lines.sort_unstable();
        lines.dedup();
        lines.len() as u64
    }
}

impl fmt::Display for RowRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.handle.is_empty() {
            write!(f, " ({})", Shown(&self.handle))?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A text of the file as one line of bounded length, whatever a stranger put in it.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, character) in self.0.chars().enumerate() {
            if index == SHOWN_CHARS_MAX {
                return f.write_str("…");
            }
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

struct Counted(u64, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        write!(f, "{count} {noun}{}", if *count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_reads_as_sentences_in_the_files_order() {
        let mut report = ImportReport {
            imported: true,
            products_created: 1,
            variants: 2,
            ..ImportReport::default()
        };
        report.skip(9, "shirt", "late");
        report.skip(3, "", "early");
        report.skip(3, "", "early, too");
        report.note(4, "shirt\n", "stock -2 is taken as 0");
        report.sort();
        assert_eq!(
            report.to_string(),
            "note, line 4 (shirt\\n): stock -2 is taken as 0\n\
             skipped, line 3: early\n\
             skipped, line 3: early, too\n\
             skipped, line 9 (shirt): late\n\
             Imported 1 product (1 new, 0 updated) with 2 variants and 0 images; 2 rows skipped."
        );
    }

    #[test]
    fn an_import_of_nothing_says_so() {
        assert_eq!(
            ImportReport::default().to_string(),
            "Nothing imported: the file has no products."
        );
    }
}
